"""The torch modules and what they are trained to maximise."""
