-- Pools whose workers are killed and stopped at random while they work:
-- every result is right or a named error, nothing hangs, nothing is left.
-- SECONDS says for how long each storm lasts.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local SECONDS = tonumber(os.getenv "SECONDS") or 20
local PATIENCE = 60 -- for one call

-- The children of a process (Linux) and theirs, but for one.
local children_of
function children_of(pid, but)
  local path = "/proc/" .. pid .. "/task/" .. pid .. "/children"
  local file = io.open(path)
  local pids = {}
  for child in (file and file:read "*a" or ""):gmatch "%d+" do
    if tonumber(child) ~= but then
      pids[#pids + 1] = child
      for _, below in ipairs(children_of(child)) do pids[#pids + 1] = below end
    end
  end
  if file then file:close() end
  return pids
end

local function strike(pid, how)
  if how == "STOP" then
    os.execute("kill -STOP " .. pid .. " 2>/dev/null; sleep 0.01; "
      .. "kill -CONT " .. pid .. " 2>/dev/null")
  else
    os.execute("kill -" .. how .. " " .. pid .. " 2>/dev/null")
  end
end

local METHODS = { "KILL", "KILL", "SEGV", "TERM", "STOP" }

-- A child that strikes the other children of this process until told to stop.
local function start_storm(over)
  local victim_of = core.getpid()
  return helper.fork(function()
    local own = core.getpid()
    math.randomseed(own)
    while not over.value do
      local pids = children_of(victim_of, own)
      if pids[1] then
        strike(pids[math.random(#pids)], METHODS[math.random(#METHODS)])
      end
      over:wait(math.random() * 0.02)
    end
  end)
end

-- ---- work whose results can be checked ----

local function digest(item)
  if type(item) == "string" then return #item .. item:sub(-3) end
  if type(item) == "table" then return { item[1] + 1, item } end
  return item * 2
end

local function slow_digest(item)
  local core_now = require "suitkaise.core".now
  local ends = core_now() + 2e-3
  while core_now() < ends do end
  return item * 2
end

local function large(n) return ("z"):rep(n) end

local function is_right(item, result)
  if type(item) == "string" then return result == #item .. item:sub(-3) end
  if type(item) == "table" then
    return result[1] == item[1] + 1 and result[2][1] == item[1]
  end
  return result == item * 2
end

local function is_length(item, result) return result == ("z"):rep(item) end

local function list(n, make)
  local items = {}
  for i = 1, n do items[i] = make(i) end
  return items
end

-- { function, items, check }
local LOADS = {
  function(isolate)
    local n = isolate and 200 or 20000
    return digest, list(n, function(i) return i end), is_right
  end,
  function()
    return digest, list(500, function(i) return { i } end), is_right
  end,
  function()
    return digest, list(20, function(i) return ("x"):rep(i * 20000) .. i end),
           is_right
  end,
  function()
    return slow_digest, list(60, function(i) return i end), is_right
  end,
  function()
    return large, list(20, function(i) return i * 30000 end), is_length
  end,
}

-- An item's outcome: right, or the death of its worker.
local function judge(item, result, check)
  if sk.is(result, "TaskError") then
    assert(sk.is(result.original_error, "WorkerDiedError"), tostring(result))
    return 1
  end
  if not check(item, result) then
    error("wrong result for " .. tostring(item) .. ": " .. tostring(result))
  end
  return 0
end

local VERBS = {}

function VERBS.map(pool, fn, items, check)
  local results, deaths = pool:map(fn, items), 0
  assert.equal(#items, results.n)
  for i, item in ipairs(items) do
    deaths = deaths + judge(item, results[i], check)
  end
  return deaths
end

function VERBS.imap(pool, fn, items, check)
  local n, deaths = 0, 0
  for result, i in pool:imap(fn, items) do
    n = n + 1
    assert.equal(n, i)
    deaths = deaths + judge(items[i], result, check)
  end
  assert.equal(#items, n)
  return deaths
end

function VERBS.unordered_imap(pool, fn, items, check)
  local seen, n, deaths = {}, 0, 0
  for result, i in pool:unordered_imap(fn, items) do
    assert.is_nil(seen[i])
    seen[i], n = true, n + 1
    deaths = deaths + judge(items[i], result, check)
  end
  assert.equal(#items, n)
  return deaths
end

function VERBS.broken_off(pool, fn, items, check)
  local deaths = 0
  for result, i in pool:unordered_imap(fn, items) do
    deaths = deaths + judge(items[i], result, check)
    if i > #items / 2 then break end
  end
  return deaths
end

local NAMES = { "map", "imap", "unordered_imap", "broken_off" }

-- One call; -> calls that ran to their end, items that died.
local function one_call(pool, isolate)
  local verb = VERBS[NAMES[math.random(#NAMES)]]
  local begun = core.now()
  local ok, deaths = pcall(verb, pool,
                         LOADS[math.random(#LOADS)](isolate))
  assert(core.now() - begun < PATIENCE, "a call took too long")
  if ok then return 1, deaths end
  assert(sk.is(deaths, "WorkerDiedError"), tostring(deaths))
  return 0, 0
end

describe("Pool in a storm of signals", function()
  after_each(helper.nothing_left)

  for _, case in ipairs { { 1 }, { 2 }, { 5 }, { 2, true } } do
    local workers, isolate = case[1], case[2]
    it("gives right results or named errors with " .. workers .. " workers"
      .. (isolate and ", a process for each item" or ""), function()
      local over = sk.Flag(false)
      local storm = start_storm(over)
      local pool = sk.Pool{ workers = workers, on_error = "collect",
                            isolate = isolate }
      local calls, deaths = 0, 0
      local ends = core.now() + SECONDS
      while core.now() < ends do
        local done, died = one_call(pool, isolate)
        calls, deaths = calls + done, deaths + died
      end
      over:set()
      assert.equal(0, (storm:finish()))
      io.write(("%d calls, %d items died\n"):format(calls, deaths))
      assert.is_true(calls > 0)
      assert.same({ 2, 4, n = 2 }, pool:map(digest, { 1, 2 }))
      pool:close()
    end)
  end
end)
