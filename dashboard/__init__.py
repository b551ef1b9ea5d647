"""The dashboard: a Streamlit door over a project's evaluation runs; people send their verdicts back from here."""
