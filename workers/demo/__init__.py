"""`mpanel demo`: what one customer buys, shown step by step while it happens."""
