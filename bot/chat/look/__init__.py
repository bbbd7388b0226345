"""How a job looks in the chat: texts made safe, and messages put together."""
