-- Tells the budgets that wait for it what was spent before: those that a script found unseeded, and in the same period.
--
-- ARGV  2 nanos of the day   3 nanos of the month   4 how long they are trusted, ms
local now = clock()
for i = 1, 2 do
  local budget = read_budget(KEYS[4 + i], now)
  if budget.is_current and redis.call('HSETNX', budget.key, 'until', int(now + tonumber(ARGV[4]))) == 1 then
    redis.call('HINCRBY', budget.key, 'spent', ARGV[1 + i])
  end
end
return 1
