-- Adds what was spent before to the budgets of an owner that a script found unseeded, if their period has not changed.
--
-- ARGV  2 owner, '' is the tenant   3 nanos of the day   4 nanos of the month   5 tokens of the day   6 how long they are valid, ms
local now = clock()
for i, period in ipairs({'day', 'month'}) do
  local budget = read_budget(period, ARGV[2], now)
  if budget.is_current and redis.call('HSETNX', budget.key, 'until', int(now + tonumber(ARGV[6]))) == 1 then
    redis.call('HINCRBY', budget.key, 'spent', ARGV[2 + i])
    redis.call('HINCRBY', budget.key, 'tokens', period == 'day' and ARGV[5] or 0)
  end
end
return 1
