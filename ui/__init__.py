"""What pages share: cached readers, controls, charts and text. The only package that knows Streamlit."""
