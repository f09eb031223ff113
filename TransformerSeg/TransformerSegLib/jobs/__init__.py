"""What runs in the background: one worker thread, a queue before it, and the way back to the main thread."""
