"""Navigation only. Start with `streamlit run dashboard/app.py -- --project DIR`."""

from __future__ import annotations

import streamlit as st

from dashboard import login, panel

BARS = (
    '<rect x="1" y="12" width="4" height="8" rx="2"/><rect x="9" y="4" width="4" height="24" rx="2"/>'
    '<rect x="17" y="9" width="4" height="14" rx="2"/><rect x="25" y="13" width="4" height="6" rx="2"/>'
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" fill="#4583c4"'  # one blue that both themes can carry
ICON = f'{SVG} viewBox="-1 0 32 32">{BARS}</svg>'  # drawn here: browsers fetch a Material icon from Google
WORDMARK = (
    f'{SVG} viewBox="0 0 168 32" width="168" height="32">{BARS}'
    '<text x="40" y="23" font-family="Source Sans, Segoe UI, Helvetica, Arial, sans-serif" font-size="21" '
    'font-weight="650" letter-spacing="-.3">groundtone</text></svg>'
)

st.set_page_config(page_title="groundtone", page_icon=ICON, layout="wide", initial_sidebar_state=232)
st.logo(WORDMARK, size="large")
login.gate()
page = st.navigation(
    {
        "Decide": [st.Page("screens/overview.py", title="Overview", icon=":material/verified:", default=True)],
        "Review": [
            st.Page("screens/hallucinations.py", title="Hallucinations", icon=":material/fact_check:"),
            st.Page("screens/chat.py", title="Chat A/B", icon=":material/forum:"),
        ],
        "Understand": [
            st.Page("screens/forgetting.py", title="Forgetting", icon=":material/psychology_alt:"),
            st.Page("screens/tone.py", title="Tone & format", icon=":material/record_voice_over:"),
            st.Page("screens/retrieval.py", title="Retrieval", icon=":material/manage_search:"),
        ],
        "Build": [
            st.Page("screens/training.py", title="Training runs", icon=":material/model_training:"),
            st.Page("screens/data.py", title="Data quality", icon=":material/rule:"),
        ],
    }
)
panel.draw()
page.run()
