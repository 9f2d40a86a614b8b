"""ChatGLM2, ChatGLM3 and GLM-4: their original layout <-> what stock transformers loads."""
