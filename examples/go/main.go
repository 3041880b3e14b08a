// A reward and its event in one transaction, with database/sql.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

type novaEarned struct {
	UserID          string    `json:"user_id"`
	AmountCents     int64     `json:"amount_cents"`
	SessionID       string    `json:"session_id"`
	NewBalanceCents int64     `json:"new_balance_cents"`
	EarnedAt        time.Time `json:"earned_at"`
}

func main() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	id, err := reward(context.Background(), db, "usr_42", 500)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}

func reward(ctx context.Context, db *sql.DB, userID string, cents int64) (id string, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return "", err
	}
	defer tx.Rollback() // does nothing after the commit

	if _, err = tx.ExecContext(ctx, "INSERT INTO rewards (user_id, amount_cents) VALUES ($1, $2)", userID, cents); err != nil {
		return "", err
	}
	payload, err := json.Marshal(novaEarned{userID, cents, "ses_1", 3500, time.Now()})
	if err != nil {
		return "", err
	}
	if err = tx.QueryRowContext(ctx, "SELECT track_lifecycle_event($1, $2)", "nova_earned", string(payload)).Scan(&id); err != nil {
		return "", err
	}
	return id, tx.Commit() // the reward and its event, or neither
}
