"""The pages: layout only; what they show comes from the pure functions in `dashboard.views` and its neighbours.

The folder is not called "pages": Streamlit (tried in 1.67) takes such a folder beside the app for its old kind of
navigation until somebody has opened the start page, so that a link to a page would show without app.py.
"""
