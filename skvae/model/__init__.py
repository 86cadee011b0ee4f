"""The torch modules, their construction and their objectives."""
