"""The pages of the dashboard: each module has TITLE, ICON, ORDER and `render(context)`.

Start reading in `overview`.
"""
