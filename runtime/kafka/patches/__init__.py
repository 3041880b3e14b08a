"""What our clients do otherwise than aiokafka has it, an idea a file; `runtime.kafka.clients` applies them."""
