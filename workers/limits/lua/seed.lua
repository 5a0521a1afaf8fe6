-- Adds what was spent before to the budgets that a script found unseeded, if their period has not changed.
--
-- ARGV  2 nanos of the day   3 nanos of the month   4 how long they are valid, ms
local now = clock()
for i = 1, 2 do
  local budget = read_budget(KEYS[2 + i], now)
  if budget.is_current and redis.call('HSETNX', budget.key, 'until', int(now + tonumber(ARGV[4]))) == 1 then
    redis.call('HINCRBY', budget.key, 'spent', ARGV[1 + i])
  end
end
return 1
