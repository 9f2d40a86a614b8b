"""Base models of a hub: which names mean one, where they go, how they are downloaded."""
