"""Conversations -> token ids, and which of them are learnt. The one place that knows how."""
