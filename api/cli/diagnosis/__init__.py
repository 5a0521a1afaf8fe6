"""What `doctor` looks at besides this machine.

findings.py    a line of its report
production.py  which settings are unfit for others than oneself
servers.py     Postgres and Redis themselves: versions, clocks, users
sentinels.py   whether sentinels of Redis answer, agree, and could promote another
backups.py     how old the newest backup is
"""
