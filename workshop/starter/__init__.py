"""How the starter model is trained and examined; knows no bot."""
