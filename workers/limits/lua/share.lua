-- Counts what a process has let through since it last told, and reports the usage.
--
-- ARGV  2 limits   3 counts: {name: how many} as JSON
--
-- Returns an `answer` in which limits that are used up have a time to retry.
local now = clock()
local policies, counts = read_policies(now), cjson.decode(ARGV[3])
for _, policy in ipairs(policies) do
  policy.want = counts[policy.name] or 0
  policy.counts[slot_of(now)] = (policy.counts[slot_of(now)] or 0) + policy.want
end
take(policies, now)
for _, policy in ipairs(policies) do
  if policy.used >= policy.limit then
    policy.retry = expired_at(policy, policy.used - policy.limit + 1, now)
  end
end
return answer(1, 0, 0, policies, now)
