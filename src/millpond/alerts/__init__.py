"""Who is notified of what: findings become alerts in an outbox, and reach people through channels.

Imports `notices`, `instance` and what is below them. Start reading in `finders.find`, then `routing` and
`dispatcher`.
"""
