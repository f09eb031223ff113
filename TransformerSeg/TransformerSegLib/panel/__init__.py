"""What a person touches: the parts of the panel, and the session behind them."""
