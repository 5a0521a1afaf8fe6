-- Reports the usage of each limit.
--
-- ARGV  2 limits
--
-- Returns {-1} if a budget isn't seeded, else an `answer`.
local now = clock()
local policies, seeded = read_policies(now)
if not seeded then
  return {-1}
end
return answer(1, 0, 0, policies, now)
