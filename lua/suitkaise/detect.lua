--- What a function reads and writes, found from its LuaJIT bytecode.
--
-- The answer is safe: what can be written is never left out; where the code
-- is not clear the answer is "all". It is that of the names as they are when
-- it is asked for: a method or helper that is replaced later is looked at
-- again by the next question. These are taken for granted, and are to be
-- declared in `_shared_meta` where they are not so:
--
-- * operators, comparisons and reads of a table in a field do not change it
--   (a table that fills itself when it is read does);
-- * an object's methods are those of its class;
-- * two fields hold the same table only when a function in the class, or the
--   __call of its metatable, makes it so; one of them that makes an object,
--   and whose first parameter is not called self, is not called on objects;
-- * a table that somebody else put into a field that the class itself sets to
--   numbers and strings only need not stay one with its copies in other fields;
-- * different parts of an argument are different tables;
-- * a field that holds the class is not used to change the class;
-- * what is not known and was given an object once (a registry in C, say) does
--   not change it in later calls of other things;
-- * a function that makes self a metatable, or makes a class, is for classes:
--   it is not called on objects.
--
-- Where the VM gives no bytecode (PUC Lua) the answer is what is declared,
-- else "all".
-- @module suitkaise.detect

local bytecode = require "suitkaise.detect.bytecode"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local options = require "suitkaise.options"

local detect = {}

local MAX_ROUNDS = 6 -- over the methods of a class
local MAX_STEPS = 60000 -- instructions of all of them
local NOTHING = "nothing"

--- Is there bytecode to look at?
detect.is_available = bytecode.is_available

local Flow, alias_sets, library -- loaded when there is something to look at

local function load_analysis()
  Flow = Flow or require "suitkaise.detect.flow"
  alias_sets = alias_sets or require "suitkaise.detect.aliases"
  library = library or require "suitkaise.detect.library"
end

-- ---- is an answer still true? ----

-- What an answer depends on is kept in a weak array, four entries for each:
-- kind, where, key, value. What was collected no longer equals what is there.
local NIL = {}

local function get(t, key) return t[key] end

local STILL = {
  field = function(t, key, value) return rawequal(rawget(t, key), value) end,
  metatable = function(t, _, value)
    return rawequal(debug.getmetatable(t), value)
  end,
  global = function(t, key, value)
    local ok, now = pcall(get, t, key)
    return rawequal(ok and now or nil, value or nil)
  end,
  upvalue = function(fn, i, value)
    local _, now = debug.getupvalue(fn, i)
    return rawequal(now, value)
  end,
}

local function add_deps(list, deps)
  local seen = list.seen or {}
  for _, dep in ipairs(deps) do
    local kind, where, key, value = dep[1], dep[2], dep[3], dep[4]
    local known = seen[where] or {}
    seen[where] = known
    local name = key == nil and NIL or key
    if not known[name] then
      known[name] = true
      local n = list.n
      list[n + 1], list[n + 2], list[n + 3] = kind, where, key
      list[n + 4] = value == nil and NIL or value
      list.n = n + 4
    end
  end
  list.seen = seen
end

local function new_deps()
  return setmetatable({ n = 0 }, { __mode = "v" })
end

local function are_true(deps)
  for i = 1, deps.n, 4 do
    local where, value = deps[i + 1], deps[i + 3]
    if where == nil or value == nil then return false end
    if value == NIL then value = nil end
    if not STILL[deps[i]](where, deps[i + 2], value) then return false end
  end
  return true
end

-- ---- classes ----

local function chain_of(class)
  local list, seen = {}, {}
  while type(class) == "table" and not seen[class] do
    seen[class] = true
    list[#list + 1] = class
    local index = rawget(class, "__index")
    local meta = debug.getmetatable(class)
    class = type(index) == "table" and not rawequal(index, class) and index
      or type(meta) == "table" and rawget(meta, "__index") or nil
  end
  return list
end

local function is_event(key)
  return type(key) == "string" and key:sub(1, 2) == "__"
end

local function can_look(value)
  return type(value) == "function" and not library.functions[value]
    and bytecode.of(value)
end

-- What makes an object of a class that is called is in the metatable.
local function add_class_call(list, class, deps)
  local meta = debug.getmetatable(class)
  if type(meta) ~= "table" then return end
  local fn = rawget(meta, "__call")
  add_deps(deps, { { "metatable", class, nil, meta },
                   { "field", meta, "__call", fn } })
  if can_look(fn) then list[#list + 1] = { fn = fn, is_class_call = true } end
end

-- Every function of a class and those above it that is to be looked at, and
-- how many fields there are: a new one may change the answer.
local function functions_of(class, deps)
  local list, count = {}, 0
  for _, t in ipairs(chain_of(class)) do
    for key, value in each(t) do
      count = count + 1
      if can_look(value) then
        list[#list + 1] = { fn = value, is_event = is_event(key) }
      end
    end
    add_class_call(list, t, deps)
  end
  return list, count
end

local function count_fields(class)
  local count = 0
  for _, t in ipairs(chain_of(class)) do
    for _ in each(t) do count = count + 1 end
  end
  return count
end

local ARGUMENT = "argument "

local function arguments(flow, count, first, names)
  local args = { n = count, rest = nil }
  for i = 1, count do
    local label = ARGUMENT .. (names and names[i] or i)
    args[i] = flow.u:union(flow.u:unknown(label), flow.u.scalar)
  end
  if first then
    args[1] = first == "class" and flow.u:outside(flow.class, "class")
      or flow.u.self
    args.n = math.max(count, 1)
  end
  if first == "either" and args[2] then
    args[2] = flow.u:union(args[2], flow.u.self)
  end
  args.rest = flow.u:union(flow.u:unknown(ARGUMENT .. "..."), flow.u.scalar)
  return args
end

-- Look at one function, whose first argument is "self" or the "class", or
-- where "either" of two may be self: -> the flow and its results, or nil when
-- that is too much.
local function look(class, aliases, fn, first, is_class_wide, names)
  local flow = Flow.new(class, aliases)
  flow.is_class_wide = is_class_wide
  local unit = flow:unit_of(fn)
  if not unit then return nil end
  local count = unit.proto.params
  local results
  local is_done = flow:settle(function()
    results = flow:run(unit, arguments(flow, count, first, names))
    flow.heap:hand_out(flow:all_of(results))
  end)
  return is_done and flow or nil, results
end

-- Look at a function of a class, for what it does to any object: -> the flow,
-- the aliases then, and what its first argument was. One that makes an object
-- and has no self is a constructor. One that makes objects of self is called
-- on the class; one that makes classes does nothing to objects (NOTHING). Of
-- an operator either side is self.
local function look_class_wide(class, aliases, entry, first)
  local fn = entry.fn
  local function try(value)
    local new = alias_sets.copy(aliases)
    return look(class, new, fn, value, true), new, value
  end
  if first ~= nil then return try(first) end
  if entry.is_class_call then return try "class" end
  if not entry.is_event and debug.getlocal(fn, 1) ~= "self" then
    local flow, new = try(false)
    if flow and flow.has_made_instance then return flow, new, false end
  end
  first = entry.is_event and "either" or "self"
  local flow, new = try(first)
  if not flow then return nil end
  if flow.heap.has_made_class then return flow, aliases, NOTHING end
  if flow.has_made_object then return try "class" end
  return flow, new, first
end

-- One visit of each function that depends on what grew since its last: -> the
-- aliases then, and whether there was any; nil when that is too much.
local function visit_all(state, aliases)
  local has_visited = false
  for i, entry in ipairs(state.list) do
    local note = state.notes[i]
    if note.size ~= alias_sets.size(aliases) and note.first ~= NOTHING then
      local flow, new, first = look_class_wide(state.class, aliases, entry,
                                               note.first)
      state.steps = state.steps + (flow and flow.step_count or MAX_STEPS)
      if state.steps >= MAX_STEPS then return aliases, nil end
      add_deps(state.deps, flow.deps)
      aliases, note.first, note.size = new, first, alias_sets.size(new)
      has_visited = true
    end
  end
  return aliases, has_visited
end

-- Which fields of a class's objects may share tables, because of any of its
-- functions.
local function find_aliases(class)
  local deps = new_deps()
  local list, count = functions_of(class, deps)
  local state = {
    class = class, list = list, notes = {}, deps = deps, steps = 0,
  }
  for i in ipairs(list) do state.notes[i] = {} end
  local aliases, has_visited = alias_sets.new(), nil
  for _ = 1, MAX_ROUNDS do
    aliases, has_visited = visit_all(state, aliases)
    if not has_visited then break end
  end
  aliases.is_unknown = has_visited ~= false
  return { aliases = aliases, deps = state.deps, count = count }
end

local class_cache = setmetatable({}, { __mode = "k" })

local function is_current(record, class)
  return record.count == count_fields(class) and are_true(record.deps)
end

local function aliases_of(class)
  if class == nil then
    return { aliases = alias_sets.new(), deps = new_deps(), count = 0 }
  end
  local record = class_cache[class]
  if not record or not is_current(record, class) then
    record = find_aliases(class)
    class_cache[class] = record
  end
  return record
end

-- ---- methods ----

local function returns_something(fn)
  local proto = bytecode.of(fn)
  if not proto then return nil end
  local has_tail_call = false
  for _, ins in ipairs(proto.code) do
    local op = ins.op
    if op == "RET" or op == "RET1" or op == "RETM" then return true end
    has_tail_call = has_tail_call or op == "CALLT" or op == "CALLMT"
  end
  if has_tail_call then return nil end
  return false
end

local function unknown(fn)
  return { reads = "all", writes = "all", returns = returns_something(fn) }
end

local function detect_method(class, fn)
  if not bytecode.of(fn) then return unknown(fn), new_deps() end
  load_analysis()
  local wide = aliases_of(class)
  local flow = look(class, alias_sets.copy(wide.aliases), fn, "self", false)
  if not flow then return unknown(fn), new_deps() end
  local reads, writes = flow.heap:effects()
  local deps = new_deps()
  add_deps(deps, flow.deps)
  return {
    reads = reads, writes = writes, returns = returns_something(fn),
  }, deps
end

-- A class may be stranger than the analysis is prepared for: what it raises
-- is not the caller's concern.
local function try_method(class, fn)
  local ok, answer, deps = pcall(detect_method, class, fn)
  if ok then return answer, deps end
  return unknown(fn), new_deps()
end

-- ---- what is declared ----

local METHOD_SPEC = {
  reads = { type = "table", values = { "all" } },
  writes = { type = "table", values = { "all" } },
  returns = "boolean",
}
local PROPERTY_SPEC = { reads = METHOD_SPEC.reads }

local function to_set(owner, name, list)
  if list == nil or list == "all" then return list end
  local set = {}
  for i, field in each(list) do
    if type(field) ~= "string" and type(field) ~= "number"
       or type(i) ~= "number" then
      errors.argument(owner, name, field, "an array of names of fields",
                      "caller")
    end
    set[field] = true
  end
  return set
end

local function check_entry(owner, entry, spec)
  if type(entry) ~= "table" then
    errors.argument("_shared_meta", owner, entry, "a table", "caller")
  end
  local checked = options.check("_shared_meta: " .. owner, entry, spec,
                                "caller")
  checked.reads = to_set("_shared_meta: " .. owner, "reads", checked.reads)
  checked.writes = to_set("_shared_meta: " .. owner, "writes",
                          checked.writes)
  return checked
end

local META_SPEC = { methods = "table", properties = "table" }

-- `_shared_meta` of a class or of the nearest class above it.
local function meta_of(class)
  for _, t in ipairs(chain_of(class)) do
    local meta = rawget(t, "_shared_meta")
    if meta ~= nil then return meta end
  end
  return nil
end

--- Check a class's `_shared_meta` and bring it into one form.
-- @tparam table class
-- @treturn table `methods` and `properties`: by name, `reads` and `writes`
--   (sets, "all", or nil where it is not declared) and `returns`
-- @raise ArgumentError that says what is wrong
function detect.declared(class)
  local found = { methods = {}, properties = {} }
  local meta = class ~= nil and meta_of(class)
  if meta == nil or meta == false then return found end
  if type(meta) ~= "table" then
    errors.argument("_shared_meta", "it", meta, "a table", "caller")
  end
  local checked = options.check("_shared_meta", meta, META_SPEC, "caller")
  for name, entry in each(checked.methods or {}) do
    found.methods[name] = check_entry("methods." .. tostring(name), entry,
                                      METHOD_SPEC)
  end
  for name, entry in each(checked.properties or {}) do
    found.properties[name] = check_entry("properties." .. tostring(name),
                                         entry, PROPERTY_SPEC)
  end
  return found
end

-- ---- answers ----

local method_cache = setmetatable({}, { __mode = "k" })
local NO_CLASS = {}

local function cached(class, name, fn)
  local by_name = method_cache[class or NO_CLASS]
  local record = by_name and by_name[name]
  if not record or not rawequal(record.key.fn, fn) then return nil end
  if class and rawequal(record.key.meta, meta_of(class) or NIL) == false
  then return nil end
  if not are_true(record.deps) then return nil end
  if not class or not record.wide
     or is_current(class_cache[class] or record.wide, class) then
    return record.answer
  end
  return nil
end

local function remember(class, name, fn, answer, deps)
  if name == nil or name ~= name then return answer end -- no key
  local owner = class or NO_CLASS
  local by_name = method_cache[owner] or {}
  method_cache[owner] = by_name
  by_name[name] = {
    key = setmetatable({ fn = fn, meta = class and meta_of(class) or NIL },
                       { __mode = "v" }),
    answer = answer, deps = deps, wide = class_cache[class or false],
  }
  return answer
end

-- A function, or what has a __call; such a thing is not looked into.
local function is_callable(value)
  if type(value) == "function" then return true end
  local meta = debug.getmetatable(value)
  return meta ~= nil and rawget(meta, "__call") ~= nil
end

-- An __index of the class that raises has no method.
local function find_method(class, name)
  local ok, value = pcall(get, class, name)
  if ok then return value end
  return nil
end

-- What an Skfunction calls.
local function function_of(skf)
  local base = rawget(skf, "_base")
  return type(base) == "table" and rawget(base, "fn") or skf
end

--- What a method does to the fields of its object.
-- @tparam ?table class its object's metatable
-- @tparam string name
-- @tparam[opt] function fn the method, when it is not `class[name]`; anything
--   that can be called
-- @treturn table `reads` and `writes`, each a set of names of fields
--   (`{ samples = true }`) or "all"; `returns`: true, false, or nil when it
--   is not known whether it returns anything
-- @raise ArgumentError when it is no method, or `_shared_meta` is wrong
-- @usage detect.method(Stats, "record").writes.samples --> true
function detect.method(class, name, fn)
  if class ~= nil and type(class) ~= "table" then
    errors.argument("detect.method", "class", class, "a class or nil",
                    "caller")
  end
  if fn == nil then fn = find_method(class, name) end
  if type(fn) == "table" then fn = function_of(fn) end
  if not is_callable(fn) then
    errors.argument("detect.method", "fn", fn, "a function", "caller")
  end
  local answer = cached(class, name, fn)
  if answer then return answer end
  local declared = detect.declared(class).methods[name] or {}
  local found, deps = declared, new_deps()
  if not declared.reads or not declared.writes or declared.returns == nil then
    found, deps = try_method(class, fn)
  end
  answer = {
    reads = declared.reads or found.reads,
    writes = declared.writes or found.writes,
  }
  answer.returns = found.returns
  if declared.returns ~= nil then answer.returns = declared.returns end
  return remember(class, name, fn, answer, deps)
end

-- ---- any function ----

-- The names of a function's parameters, where the VM tells.
local function parameter_names(fn)
  local names = {}
  for i = 1, bytecode.of(fn).params do
    names[i] = debug.getlocal(fn, i)
  end
  return names
end

-- Sorted, without the tables whose parts are there, and without arguments if
-- `skip_arguments`; arguments go by their names.
local function to_list(set, skip_arguments)
  local names, list = {}, {}
  for label in each(set) do
    local name, found = label:gsub("^" .. ARGUMENT, "")
    if found == 0 or not skip_arguments then names[name] = true end
  end
  local above = {}
  for name in each(names) do
    for at in name:gmatch "()%." do above[name:sub(1, at - 1)] = true end
  end
  for name in each(names) do
    if not above[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

-- What was called and not followed: -> the calls that may wait, those that
-- are not known, and whether any has an effect or a result of its own.
local function sort_calls(flow)
  local blocking = require "suitkaise.detect.blocking"
  local waits, unknown_calls, is_impure = {}, {}, false
  for _, call in ipairs(flow.called) do
    local entry = call.entry
    if entry then
      is_impure = is_impure or entry.is_impure
      if entry.blocks then waits[call.label] = true end
    elseif blocking.by_name(call.label) then
      waits[call.label] = true
    else
      unknown_calls[call.label] = true
    end
  end
  return to_list(waits), to_list(unknown_calls), is_impure or false
end

local function detect_fn(fn)
  load_analysis()
  local flow = look(nil, alias_sets.new(), fn, nil, false,
                    parameter_names(fn))
  if not flow then return nil end
  local answer = {
    reads = to_list(flow.heap.outside_reads, true),
    writes = to_list(flow.heap.outside_writes),
  }
  local is_impure
  answer.blocking_calls, answer.unknown_calls, is_impure = sort_calls(flow)
  local changing = to_list(flow.mutable_reads, true)
  if answer.writes[1] or answer.blocking_calls[1] or changing[1]
     or is_impure then
    answer.is_pure = false
  elseif not answer.unknown_calls[1] and not flow.has_unsure_reads then
    answer.is_pure = true
  end
  return answer, flow
end

local fn_cache = setmetatable({}, { __mode = "k" })

--- What a function does to what is outside of it.
-- @tparam function fn
-- @treturn table `reads`, `writes`: sorted arrays of the globals, upvalues and
--   their parts (`"config.fps"`; also parts of arguments for writes), or "all"
--   when it cannot be told; `is_pure`: true when it changes nothing and its
--   results depend on its arguments alone, false when not, nil when it is not
--   known; `blocking_calls`: what it calls that may wait (`"os.execute"`),
--   where nothing can be told what its own code names of that;
--   `unknown_calls`: what it calls that could not be followed, of which the
--   other answers say nothing
-- @usage detect.fn(math.floor).is_pure --> nil (a C function)
function detect.fn(fn)
  if type(fn) ~= "function" then
    errors.argument("detect.fn", "fn", fn, "a function", "caller")
  end
  local record = fn_cache[fn]
  if record and are_true(record.deps) then return record.answer end
  local deps = new_deps()
  local answer, flow
  if bytecode.of(fn) then answer, flow = detect_fn(fn) end
  if not answer then
    return { reads = "all", writes = "all", unknown_calls = {},
             blocking_calls = require "suitkaise.detect.mentioned"(fn) }
  end
  add_deps(deps, flow.deps)
  fn_cache[fn] = { answer = answer, deps = deps }
  return answer
end

return detect
