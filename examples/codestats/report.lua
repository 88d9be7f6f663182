-- What is known about some source files:
--
--   files        path -> language, lines, blank, comment, code, bytes
--   skipped      path -> why it was left out
--   identifiers  language -> name -> how often it is used
--   imported     language -> name -> how many files import it
--
-- Reports on parts add up to a report on all, in whatever order.

local each = require "suitkaise".pairs -- why: doc/building.md, "Which LuaJIT"
local identifiers = require "codestats.identifiers"
local languages = require "codestats.languages"
local scan = require "codestats.scan"

local report = {}

local keywords = {}
for _, language in ipairs(languages) do
  keywords[language.name] = language.keywords
end

function report.new()
  return { files = {}, skipped = {}, identifiers = {}, imported = {} }
end

-- The table at `key`, made if there is none.
local function inner(map, key)
  local found = map[key]
  if not found then
    found = {}
    map[key] = found
  end
  return found
end

-- ---- making ----

local function add_file(self, path)
  local language = scan.language(path).name
  local file, why = scan.file(path, inner(self.identifiers, language))
  if not file then
    self.skipped[path] = why
    return
  end
  local imported = inner(self.imported, language)
  for name in each(file.imported) do
    imported[name] = (imported[name] or 0) + 1
  end
  file.imported, file.language = nil, language
  self.files[path] = file
end

--- A report on these files. `on_file` is called after each of them, with its
-- figures, or with nil when it was left out.
function report.on(paths, on_file)
  local self = report.new()
  for _, path in ipairs(paths) do
    add_file(self, path)
    on_file(self.files[path])
  end
  for language, counts in each(self.identifiers) do
    for word in keywords[language]:gmatch "%S+" do counts[word] = nil end
  end
  return self
end

-- ---- adding up ----

--- Make a report compact, to be sent.
function report.pack(self)
  for language, counts in each(self.identifiers) do
    self.identifiers[language] = identifiers.pack(counts)
  end
  return self
end

--- Add a packed report to another.
function report.add(total, part)
  for path, file in each(part.files) do total.files[path] = file end
  for path, why in each(part.skipped) do total.skipped[path] = why end
  for language, packed in each(part.identifiers) do
    if not total.identifiers[language] then
      total.identifiers[language] = identifiers.new()
    end
    identifiers.add(total.identifiers[language], packed)
  end
  for language, imported in each(part.imported) do
    local sum = inner(total.imported, language)
    for name, n in each(imported) do sum[name] = (sum[name] or 0) + n end
  end
end

--- From packed to plain again, with only the identifiers that may be among
-- the `limit` commonest.
function report.unpack(self, limit)
  for language, packed in each(self.identifiers) do
    self.identifiers[language] = identifiers.commonest(packed, limit)
  end
  return self
end

--- Where two reports (or any two values) differ, as "files/x.c/lines"; nil
-- when they are equal through and through.
function report.difference(a, b, where)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a ~= b and where or nil
  end
  local prefix = where and where .. "/" or ""
  for key, value in each(a) do
    local found = report.difference(value, b[key], prefix .. tostring(key))
    if found then return found end
  end
  for key in each(b) do
    if a[key] == nil then return prefix .. tostring(key) end
  end
end

return report
