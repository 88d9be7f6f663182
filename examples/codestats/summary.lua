-- From a report to what is shown: totals, and the tops of the lists. Ties go
-- by name, so that equal reports look the same.

local each = require "suitkaise".pairs -- why: doc/building.md, "Which LuaJIT"

local summary = {}

local FIGURES = { "lines", "blank", "comment", "code", "bytes" }

local function new_totals(language)
  local totals = { language = language, files = 0 }
  for _, figure in ipairs(FIGURES) do totals[figure] = 0 end
  return totals
end

local function add_up(totals, figures)
  totals.files = totals.files + (figures.files or 1)
  for _, figure in ipairs(FIGURES) do
    totals[figure] = totals[figure] + figures[figure]
  end
end

-- ---- the tops of lists: entries with a name and one number, `field` ----

local function comes_before(a, b, field)
  if a[field] ~= b[field] then return a[field] > b[field] end
  if a.name ~= b.name then return a.name < b.name end
  return a.language < b.language
end

-- Put an entry into a sorted list of the best `limit`, if it is one of them.
local function offer(list, field, limit, entry)
  local i = #list
  while i > 0 and comes_before(entry, list[i], field) do
    list[i + 1] = list[i]
    i = i - 1
  end
  list[i + 1] = entry
  list[limit + 1] = nil
end

local function top_counts(counts, field, limit, language)
  local list = {}
  for name, n in each(counts) do
    local last = list[limit]
    if not last or n >= last[field] then
      offer(list, field, limit,
            { name = name, language = language, [field] = n })
    end
  end
  return list
end

-- The top of several tops.
local function top_of_all(parts, list_name, field, limit)
  local list = {}
  for _, part in ipairs(parts) do
    for _, entry in ipairs(part[list_name]) do
      offer(list, field, limit, entry)
    end
  end
  return list
end

-- ---- languages ----

-- Totals, each with its list of largest files, the longest code first.
local function languages_of(files, limit)
  local by_name, list = {}, {}
  for path, file in each(files) do
    local totals = by_name[file.language]
    if not totals then
      totals = new_totals(file.language)
      totals.largest_files = {}
      by_name[file.language] = totals
      list[#list + 1] = totals
    end
    add_up(totals, file)
    offer(totals.largest_files, "bytes", limit, {
      name = path, language = file.language,
      bytes = file.bytes, lines = file.lines,
    })
  end
  table.sort(list, function(a, b)
    if a.code ~= b.code then return a.code > b.code end
    return a.language < b.language
  end)
  return list
end

local function skipped_files(skipped)
  local list = {}
  for path, why in each(skipped) do
    list[#list + 1] = { name = path, reason = why }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- Sum a report up.
-- @tparam table report
-- @tparam table limits identifiers, files, imports: how long the lists get
-- @treturn table languages, totals, identifiers, largest_files,
--   most_included, skipped; each language has its own lists too
function summary.of(report, limits)
  local languages = languages_of(report.files, limits.files)
  local totals = new_totals()
  for _, language in ipairs(languages) do
    local name = language.language
    add_up(totals, language)
    language.identifiers = top_counts(report.identifiers[name], "uses",
                                      limits.identifiers, name)
    language.most_included = top_counts(report.imported[name], "files",
                                        limits.imports, name)
  end
  return {
    totals = totals,
    languages = languages,
    identifiers = top_of_all(languages, "identifiers", "uses",
                             limits.identifiers),
    largest_files = top_of_all(languages, "largest_files", "bytes",
                               limits.files),
    most_included = top_of_all(languages, "most_included", "files",
                               limits.imports),
    skipped = skipped_files(report.skipped),
  }
end

return summary
