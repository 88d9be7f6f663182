-- A TCP server that hands CPU work to worker processes and answers when it is
-- done, while its loop stays free. Clients in the same program load it for
-- some seconds and check every answer.
--
--   luajit examples/tcp_workers.lua [seconds [clients [workers]]]

local here = arg[0]:match "^.*/" or "./"
package.path = here .. "?.lua;" .. package.path

local sk = require "suitkaise"
local tcp = require "tcp"

local async = sk.async

local SECONDS = tonumber(arg[1]) or 10
local CLIENTS = tonumber(arg[2]) or 20
local WORKERS = tonumber(arg[3]) or sk.cpu_count()

-- The work: how many primes there are up to n.
local function count_primes(n)
  local composite, count = {}, 0
  for i = 2, n do
    if not composite[i] then
      count = count + 1
      for j = i * i, n, i do composite[j] = true end
    end
  end
  return count
end

-- One connection: a number on each line, answered by a number.
local function serve(pool)
  return function(stream)
    local line = stream:read_line()
    while line do
      local primes = pool:map(count_primes, { tonumber(line) })[1]
      if stream:write(primes .. "\n") then return end
      line = stream:read_line()
    end
  end
end

-- One client: -> latencies, and how many answers were wrong or missing.
local function load_server(port, deadline, expected)
  local stream = assert(tcp.connect("127.0.0.1", port))
  local latencies, lost, i = {}, 0, 0
  while async.now() < deadline do
    i = i % #expected + 1
    local begun = async.now()
    stream:write(expected[i].n .. "\n")
    local answer = stream:read_line()
    if tonumber(answer) ~= expected[i].primes then lost = lost + 1 end
    latencies[#latencies + 1] = async.now() - begun
  end
  stream:close()
  return { latencies = latencies, lost = lost }
end

local function percentile(sorted, p)
  return sorted[math.max(1, math.ceil(#sorted * p / 100))]
end

-- The longest time in which no other task could run.
local function watch_gaps(gaps)
  local last = async.now()
  while true do
    async.sleep(0.001)
    local now = async.now()
    gaps.longest = math.max(gaps.longest, now - last)
    last = now
  end
end

async.run(function()
  local pool = async.Pool{ workers = WORKERS, chunk = 1 }
  local server = tcp.serve("127.0.0.1", 0, serve(pool))
  local expected, clients, gaps = {}, {}, { longest = 0 }
  for i = 1, 10 do
    expected[i] = { n = 2000 * i, primes = count_primes(2000 * i) }
  end
  async.spawn(watch_gaps, gaps)
  local deadline = async.now() + SECONDS
  for i = 1, CLIENTS do
    clients[i] = async.spawn(load_server, server.port, deadline, expected)
  end
  local all, lost = {}, 0
  for _, result in ipairs(async.gather(clients)) do
    lost = lost + result.lost
    for _, latency in ipairs(result.latencies) do all[#all + 1] = latency end
  end
  table.sort(all)
  server:close()
  pool:close()
  print(("answers lost or wrong: %d"):format(lost))
  print(("%d answers, %.0f a second, p50 %.2f ms, p99 %.2f ms, gap %.2f ms")
    :format(#all, #all / SECONDS, 1000 * percentile(all, 50),
            1000 * percentile(all, 99), 1000 * gaps.longest))
end)
