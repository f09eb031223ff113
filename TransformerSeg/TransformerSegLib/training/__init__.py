"""Where models come from: data, fine-tuning, export to a bundle."""
