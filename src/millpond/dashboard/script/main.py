"""The script that Streamlit runs; it is not beside `pages`, which Streamlit would then serve by itself."""

from millpond.dashboard.app import main

main()
