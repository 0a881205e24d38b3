"""Where a language model is reached: one preset a provider, all speaking the chat-completions protocol."""
