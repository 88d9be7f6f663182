-- Every public function that can wait has a twin for tasks: found by walking
-- the public tables. A function that is new has to be told apart here.

require "spec.async_helper" -- the loop is there before anything is looked at
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async

-- ---- what there is ----

-- An upvalue of a function, or of a function among its upvalues.
local function upvalue(fn, name, depth)
  depth = depth or 4
  local i, found, value = 1, debug.getupvalue(fn, 1)
  while found do
    if found == name then return value end
    if type(value) == "function" and depth > 0 then
      local inner = upvalue(value, name, depth - 1)
      if inner ~= nil then return inner end
    end
    i = i + 1
    found, value = debug.getupvalue(fn, i)
  end
  return nil
end

local function add_methods(all, owner, methods)
  for name, method in pairs(methods) do
    if type(name) == "string" and type(method) == "function"
       and not name:find "^_" then
      all[owner .. ":" .. name] = true
    end
  end
end

-- All public functions: "update", "Pool:map", "cerial:serialize".
local function find_all()
  local fields = upvalue(getmetatable(sk).__index, "FIELDS")
  assert.is_table(fields)
  local all = {}
  for field in pairs(fields) do
    local value = sk[field]
    if type(value) == "function" then
      all[field] = true
    elseif type(value) == "table" and field ~= "async" then
      add_methods(all, field, value)
      add_methods(all, field, rawget(value, "methods") or {})
    end
  end
  for name in pairs(upvalue(sk.Share.__newindex, "reserved")) do
    all["Share:" .. name] = true
  end
  add_methods(all, "Skfunction", sk.skfunction.modifiers)
  add_methods(all, "Future", require "suitkaise.future")
  add_methods(all, "Pipe.Point", sk.Pipe.Point)
  add_methods(all, "Timer", sk.sktime.Timer)
  add_methods(all, "Yawn", sk.sktime.Yawn)
  return all
end

-- ---- what waits, and how its twin is had ----

-- "x": a field of sk.async; "asynced": a method of the same owner that gives
-- the twin; "here": it yields by itself when its table is for tasks.
local TWIN = {
  ["Circuit:short"] = "Circuit", ["Circuit:trip"] = "Circuit",
  ["Circuit:call"] = "Circuit", ["circuit:with"] = "Circuit",
  ["Yawn:reset"] = "Yawn",
  ["sktime:sleep"] = "sleep", ["sktime:TimeThis"] = "TimeThis",
  ["sktime:timethis"] = "timethis",
  ["Flag:wait"] = "asynced", ["Progress:wait"] = "asynced",
  ["Pool:map"] = "Pool", ["Pool:unordered_map"] = "Pool",
  ["Pool:imap"] = "Pool", ["Pool:unordered_imap"] = "Pool",
  ["Pool:close"] = "Pool", ["Pool:background"] = "Pool",
  ["Pipe.Point:send"] = "asynced", ["Pipe.Point:recv"] = "asynced",
  ["Pipe:pair"] = "Pipe",
  ["Future:result"] = "asynced", ["Future:wait"] = "asynced",
  ["Skprocess:wait"] = "Skprocess", ["Skprocess:result"] = "Skprocess",
  ["Skprocess:run"] = "Skprocess", ["Skprocess:listen"] = "Skprocess",
  ["Skfunction:retry"] = "asynced", ["Skfunction:timeout"] = "asynced",
  ["Skfunction:rate_limit"] = "asynced",
  ["Skfunction:background"] = "asynced", ["Skfunction:execute"] = "asynced",
  ["cerial:serialize"] = "cerial", ["cerial:deserialize"] = "cerial",
  ["cerial:serialize_many"] = "cerial",
  ["cerial:deserialize_many"] = "cerial",
  increment = "Share", update = "Share", call = "Share", wait_for = "Share",
  pairs = "Share", ipairs = "Share", len = "Share", insert = "Share",
  remove = "Share", snapshot = "Share",
  ["Share:flush"] = "Share", ["Share:errors"] = "Share",
  ["Share:clear"] = "Share", ["Share:stop"] = "Share",
  ["Share:exit"] = "Share", ["Share:has_error"] = "Share",
  ["Share:reconnect_all"] = "Share", ["Share:open"] = "Share",
}

for _, name in ipairs { "get", "set", "pop", "update", "keys", "values",
                        "items", "contains", "clear", "to_table" } do
  TWIN["Dict:" .. name] = "asynced"
end
for _, name in ipairs { "append", "extend", "insert", "pop", "remove",
                        "clear", "to_table" } do
  TWIN["List:" .. name] = "asynced"
end
for _, name in ipairs { "set", "get", "collect" } do
  TWIN["Results:" .. name] = "asynced"
end

-- ---- what waits and has none, each with the reason ----

local EXCEPTIONS = {
  ["Skprocess:start"] = "it forks, which takes a millisecond or so; there "
    .. "is nothing to wait for meanwhile",
  ["Skprocess:kill"] = "SIGKILL: the system ends it in no time",
  ["Pool:terminate"] = "the same, for its workers",
  ["Share:start"] = "it forks the coordinator and does not wait for it",
  ["cerial:reconnect_all"] = "it calls the connect functions of other "
    .. "libraries, which block or not as they like",
}

-- ---- what never waits ----

local NEVER = {}

local function never(owner, names)
  for name in names:gmatch "%S+" do NEVER[owner .. name] = true end
end

never("", "skf getpid cpu_count is interrupts")
never("Circuit:", "apply_outcome apply_probe apply_reset apply_reset_backoff "
  .. "apply_short apply_success apply_trip apply_wake asynced reset "
  .. "reset_backoff")
never("Counter:", "increment decrement set")
never("Flag:", "set clear toggle asynced")
never("Progress:", "increment bar asynced")
never("Dict:", "asynced")
never("List:", "asynced")
never("Results:", "asynced")
never("Pool:", "star timeout progress asynced new_async")
never("Pipe:", "async_pair")
never("Pipe.Point:", "close lock unlock asynced")
never("Share:", "asynced is_running coordinator_pid")
never("Skprocess:", "stop tell sync timeout background asynced extend is_a "
  .. "init")
never("Skfunction:", "bind asynced")
never("Future:", "new resolve reject done cancel on_done await asynced")
never("Yawn:", "asynced")
never("autoreconnect:", "connect plan")
never("cerial:", "register reference resource handle inspect to_json "
  .. "encode_options decode_options many")
never("class:", "construct set_field describe")
never("errors:", "show new raise reraise argument caller define is")
never("processing:", "stats interrupts")
never("skfunction:", "skf get register unregister names build autoregister "
  .. "convert_callables is_function add")
never("sktime:", "time elapsed clear_global_timers")

-- A Timer never waits: what it measures does.
for name in pairs(sk.sktime.Timer) do
  if not name:find "^_" then NEVER["Timer:" .. name] = true end
end

-- ---- owners by name ----

local function owner_of(name)
  local owner = name:match "^(.*):"
  if owner == "Future" then return require "suitkaise.future" end
  if owner == "Pipe.Point" then return sk.Pipe.Point end
  if owner == "Skfunction" then return sk.skfunction.modifiers end
  local value = sk[owner]
  return rawget(value, "methods") or value
end

local function sorted_names(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

describe("twins", function()
  after_each(helper.nothing_left)

  it("know every public function", function()
    local unknown = {}
    for name in pairs(find_all()) do
      local kinds = (TWIN[name] and 1 or 0) + (NEVER[name] and 1 or 0)
        + (EXCEPTIONS[name] and 1 or 0)
      if kinds ~= 1 then unknown[name] = true end
    end
    assert.same({}, sorted_names(unknown))
  end)

  it("know no function that there is not", function()
    local all, gone = find_all(), {}
    for _, set in ipairs { TWIN, EXCEPTIONS } do
      for name in pairs(set) do
        if not all[name] then gone[name] = true end
      end
    end
    assert.same({}, sorted_names(gone))
  end)

  it("are there for each that waits", function()
    local missing = {}
    for name, way in pairs(TWIN) do
      local twin
      if way == "asynced" then twin = owner_of(name).asynced
      else twin = async[way] end
      if twin == nil then missing[name] = true end
    end
    assert.same({}, sorted_names(missing))
  end)

  it("are per call, too, for objects of every class that waits", function()
    for _, class in ipairs { "Circuit", "Flag", "Progress", "Pool",
                             "Skprocess" } do
      assert.is_function(sk[class].asynced, class)
    end
    assert.is_function(sk.sktime.Yawn.asynced)
  end)
end)
