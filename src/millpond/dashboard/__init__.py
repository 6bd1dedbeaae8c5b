"""The operations dashboard, a Streamlit app: a frame of filters, links and errors, and one file per page.

It runs in the environment `dashboard` (see runtime/environments.py). Start reading in `app`.
"""
