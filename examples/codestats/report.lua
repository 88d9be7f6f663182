-- What is known about some source files. Reports of parts are merged into one
-- for all: in whatever order, the sum is the same.
--
--   files        path -> language, lines, blank, comment, code, bytes
--   skipped      path -> why it was left out
--   identifiers  language -> name -> how often it is used
--   imported     language -> name -> how many files import it

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

local function inner(map, key)
  local found = map[key]
  if not found then
    found = {}
    map[key] = found
  end
  return found
end

local function add_file(self, path)
  local language = scan.language(path).name
  local file, why = scan.file(path, inner(self.identifiers, language))
  if not file then
    self.skipped[path] = why
    return
  end
  local imported = inner(self.imported, language)
  for name in pairs(file.imported) do
    imported[name] = (imported[name] or 0) + 1
  end
  file.imported, file.language = nil, language
  self.files[path] = file
end

--- A report on these files. `on_file`, if any, is called after each with its
-- figures, or nil when it was left out.
function report.on(paths, on_file)
  local self = report.new()
  for _, path in ipairs(paths) do
    add_file(self, path)
    if on_file then on_file(self.files[path]) end
  end
  for language, counts in pairs(self.identifiers) do
    for word in keywords[language]:gmatch "%S+" do counts[word] = nil end
  end
  return self
end

local function add_counts(total, part)
  for language, counts in pairs(part) do
    local sum = inner(total, language)
    for name, n in pairs(counts) do sum[name] = (sum[name] or 0) + n end
  end
end

--- Add `part` to `total`.
function report.merge(total, part)
  for path, file in pairs(part.files) do total.files[path] = file end
  for path, why in pairs(part.skipped) do total.skipped[path] = why end
  add_counts(total.identifiers, part.identifiers)
  add_counts(total.imported, part.imported)
end

--- Where two reports (or any two values) differ first, as "files/x.c/lines";
-- nil when they are equal through and through.
function report.difference(a, b, where)
  if type(a) ~= "table" or type(b) ~= "table" then
    if a ~= b then return where end
    return nil
  end
  local path = where and where .. "/" or ""
  for key, value in pairs(a) do
    local found = report.difference(value, b[key], path .. tostring(key))
    if found then return found end
  end
  for key in pairs(b) do
    if a[key] == nil then return path .. tostring(key) end
  end
end

return report
