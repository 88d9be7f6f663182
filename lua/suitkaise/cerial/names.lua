--- Names of functions, modules and classes: what the receiver's `require`
-- will find again.
--
-- An index of what the loaded modules hold is made when package.loaded has
-- changed; every answer from it is checked by looking the path up again.
-- @module suitkaise.cerial.names
-- @local

local each = require "suitkaise.each"

local MAX_PATH = 4 -- keys below a module

local getinfo = debug.getinfo
local loaded = package.loaded
local globals = _G

local names = {}

-- function or class -> "module:path"; table of a module -> its name
local paths = setmetatable({}, { __mode = "k" })
local modules = setmetatable({}, { __mode = "k" })
-- the file a module was loaded from, or false
local files = {}
local indexed_at -- the stamp of package.loaded for which the index holds

-- What everybody has: a Lua function in there is somebody's addition.
local STANDARD = {}
for name in ("_G string table math io os coroutine debug package utf8 bit32 "
             .. "bit jit ffi jit.util jit.opt jit.profile string.buffer "
             .. "table.new table.clear"):gmatch "%S+" do
  STANDARD[name] = true
end

local function is_builtin(fn)
  local info = getinfo(fn, "S")
  return info.what == "C" or info.source:find("^=%[builtin") ~= nil
end

local search = package.searchpath or function(name, path)
  local file = name:gsub("%.", "/")
  for template in path:gmatch "[^;]+" do
    local candidate = template:gsub("%?", (file:gsub("%%", "%%%%")))
    local f = io.open(candidate)
    if f then
      f:close()
      return candidate
    end
  end
end

local function file_of(module)
  if files[module] == nil then
    files[module] = search(module, package.path) or false
  end
  return files[module]
end

-- Is the function that is at `module`'s path now the one that `require`
-- finds in another process? Not if somebody put it there later.
local function is_original(fn, module)
  if is_builtin(fn) then return true end
  if STANDARD[module] then return false end
  local file = file_of(module)
  return not file or getinfo(fn, "S").source == "@" .. file
end

-- ---- the index ----

local function is_plain_key(key)
  return type(key) == "string" and key:find "^[^.:]+$" ~= nil
end

local function better(new, old)
  if not old then return true end
  if #new ~= #old then return #new < #old end
  return new < old
end

local function add_field(module, path, value, queue, seen)
  local name = module .. ":" .. path
  if type(value) == "function" then
    if better(name, paths[value]) and is_original(value, module) then
      paths[value] = name
    end
  elseif type(value) == "table" and not modules[value] and not seen[value]
         and module ~= "_G" then
    seen[value] = true
    if rawget(value, "__index") ~= nil and better(name, paths[value]) then
      paths[value] = name
    end
    queue[#queue + 1] = { value, path }
  end
end

local function depth_of(path)
  local _, dots = path:gsub("%.", "")
  return dots + 1
end

local function add_module(module, root)
  local queue, at, seen = { { root, nil } }, 1, {}
  while queue[at] do
    local t, prefix = queue[at][1], queue[at][2]
    at = at + 1
    for key, value in each(t) do
      if is_plain_key(key) then
        local path = prefix and prefix .. "." .. key or key
        if depth_of(path) <= MAX_PATH then
          add_field(module, path, value, queue, seen)
        end
      end
    end
  end
end

local function add_modules()
  for name, value in each(loaded) do
    if type(name) == "string" and type(value) == "table"
       and better(name, modules[value]) then
      modules[value] = name
    end
  end
  modules[globals] = "_G"
  modules[loaded] = "package.loaded" -- never walked
end

local function make_index()
  for t in each(modules) do modules[t] = nil end
  add_modules()
  for t, name in each(modules) do
    if t ~= loaded then add_module(name, t) end
  end
end

--- Make the index anew when package.loaded has changed.
-- @tparam ?int stamp another one for another package.loaded; nil: make it
function names.refresh(stamp)
  if stamp and stamp == indexed_at then return end
  indexed_at = stamp
  make_index()
end

-- ---- looking up ----

local MAX_PARSED = 1024
local parsed, n_parsed = {}, 0

-- "module:a.b" -> { module = "module", "a", "b" }; remembered, because
-- taking a name apart takes longer than looking it up.
local function parse(name)
  local parts = parsed[name]
  if parts then return parts end
  if n_parsed == MAX_PARSED then parsed, n_parsed = {}, 0 end
  local module, path = name:match "^([^:]*):(.*)$"
  parts = { module = module or name }
  for key in (path or ""):gmatch "[^.]+" do parts[#parts + 1] = key end
  parsed[name], n_parsed = parts, n_parsed + 1
  return parts
end

local function index(t, key)
  return t[key]
end

local function walk(value, parts)
  for i = 1, #parts do
    local found = type(value) == "table" and rawget(value, parts[i])
    if not found then -- a lazy field, or one that is not there
      local ok
      ok, found = pcall(index, value, parts[i])
      if not ok or found == nil then return nil end
    end
    value = found
  end
  return value
end

local function still_there(name, value)
  local parts = parse(name)
  local root = loaded[parts.module]
  return root ~= nil and walk(root, parts) == value
end

--- The name of a function or class that is a field of a loaded module.
-- @param value a function or a table
-- @treturn ?string "module:path"
function names.path(value)
  local name = paths[value]
  if name and still_there(name, value) then return name end
  return nil
end

--- The name of a loaded module's table.
-- @tparam table t
-- @treturn ?string
function names.module(t)
  local name = modules[t]
  if name and loaded[name] == t then return name end
  return nil
end

--- What a name of @{path} or @{module} stands for here.
-- @tparam string name
-- @return the value, or nil and why not
function names.find(name)
  local parts = parse(name)
  local value = loaded[parts.module]
  if value == nil then
    local ok
    ok, value = pcall(require, parts.module)
    if not ok then
      return nil, ("module %q cannot be loaded: %s"):format(parts.module,
                                                            tostring(value))
    end
  end
  value = walk(value, parts)
  if value == nil or value == true then
    return nil, ("there is no %q here"):format(name)
  end
  return value
end

--- Why a function has no name.
-- @tparam function fn
-- @treturn string
function names.why_not(fn)
  if paths[fn] then
    return "its module holds another value at " .. paths[fn] .. " now"
  end
  return is_builtin(fn) and "no loaded module holds this C function"
    or "no loaded module holds this function, or its module's file does not"
end

names.is_builtin = is_builtin

return names
