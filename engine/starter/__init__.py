"""The model that ships with Easel: its pictures, its training, its weights and its examiner; knows no engine and no bot."""
