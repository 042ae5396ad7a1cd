"""What tests share: tiny models, made-up conversations, broken checkpoints."""
