--- What the methods of a class do to one another: which fields of its objects
-- may share tables, and what else holds tables of theirs.
--
--   links     fields that may share a table: name -> set of names
--   same      those of `links` whose own tables may be the same
--   held      fields from which self can be reached
--   near      fields that may be inside of any other field or around it
--   numbers   fields that are set to numbers or strings
--   tables    such as may hold tables
--   kept      what was there before -> path in it -> the fields that hold it;
--             under path .. HOLDS those of which it holds a table
--   is_all    all fields may share a table; `is_all_inside`: but for their own
--   is_unknown  too much is not known for an answer
-- @module suitkaise.detect.aliases

local each = require "suitkaise.each"

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local aliases = {}

--- The name of a field that is not known.
aliases.ANYWHERE = {}

local SETS = { "held", "near", "numbers", "tables" }

function aliases.new()
  return {
    links = {}, same = {}, held = {}, near = {}, numbers = {}, tables = {},
    kept = setmetatable({}, { __mode = "k" }), is_all = false,
    is_all_inside = false, is_unknown = false,
  }
end

local function copy_sets(from, to)
  for key, set in each(from) do
    to[key] = {}
    for name in each(set) do to[key][name] = true end
  end
end

function aliases.copy(from)
  local to = aliases.new()
  copy_sets(from.links, to.links)
  copy_sets(from.same, to.same)
  for root, paths in each(from.kept) do
    to.kept[root] = {}
    copy_sets(paths, to.kept[root])
  end
  for _, name in ipairs(SETS) do
    for key in each(from[name]) do to[name][key] = true end
  end
  to.is_all, to.is_all_inside = from.is_all, from.is_all_inside
  to.is_unknown = from.is_unknown
  return to
end

--- How much of it there is that the analysis of a function looks at.
function aliases.size(from)
  local n = 0
  for _, paths in each(from.kept) do
    for _, set in each(paths) do
      for _ in each(set) do n = n + 1 end
    end
  end
  for _ in each(from.held) do n = n + 1 end
  return n
end

-- What a thing is known by in every analysis: a value or variable, and the
-- path from there.
local function root_of(object)
  local path = ""
  while object do
    if object.value ~= nil then return object.value, path end
    if object.source ~= nil then return object.source, path end
    path, object = "." .. (object.step or "") .. path, object.parent
  end
  return nil
end

--- Does more than one call of a method meet the very same thing?
function aliases.is_lasting(object) return root_of(object) ~= nil end

local HOLDS = "*"

--- The set of names of the fields that hold a thing that was there before; nil
-- when there is none, or no other call can meet the thing.
function aliases.kept_by(from, object, is_made)
  local root, path = root_of(object)
  if root == nil then return nil end
  return aliases.kept_at(from, root, path, is_made)
end

--- That of the fields of which it holds a table; ANYWHERE for self.
function aliases.held_by(from, object, is_made)
  local root, path = root_of(object)
  if root == nil then return nil end
  return aliases.kept_at(from, root, path .. HOLDS, is_made)
end

function aliases.kept_at(from, root, path, is_made)
  local paths = from.kept[root]
  if not paths and is_made then
    paths = {}
    from.kept[root] = paths
  end
  local set = paths and paths[path]
  if not set and is_made then
    set = {}
    paths[path] = set
  end
  return set
end

return aliases
