// A reward and its event in one transaction, with pg.
import pg from "pg";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
try {
  await client.query("BEGIN");
  await client.query("INSERT INTO rewards (user_id, amount_cents) VALUES ($1, $2)", ["usr_42", 500]);
  const tracked = await client.query("SELECT track_lifecycle_event($1, $2) AS id", [
    "nova_earned",
    {
      user_id: "usr_42",
      amount_cents: 500,
      session_id: "ses_1",
      new_balance_cents: 3500,
      earned_at: new Date(),
    },
  ]);
  await client.query("COMMIT"); // the reward and its event, or neither
  console.log(tracked.rows[0].id);
} catch (error) {
  await client.query("ROLLBACK");
  throw error;
} finally {
  await client.end();
}
