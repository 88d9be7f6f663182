-- Reads a source file: tells blank, comment and code lines apart, counts
-- identifiers, lists imports. One pass over the bytes, a block at a time, so
-- that memory does not grow with the file. LuaJIT compiles the loops; for its
-- sake they look at bytes and leave patterns to what is rare.

local languages = require "codestats.languages"

local byte, find, sub = string.byte, string.find, string.sub

local BLOCK = 16384     -- bytes read at once
local LONGEST = 2 ^ 24  -- bytes of a line: a longer one is no source code

-- What a byte is in plain code. A word goes on while it is <= DIGIT.
local WORD, DIGIT, SPACE, OTHER, MARK, ESCAPE = 1, 2, 3, 4, 5, 6

local BACKSLASH, NEWLINE, RETURN, DOT, QUOTE = byte("\\\n\r.\"", 1, 5)
local BYTE_ORDER_MARK = "\239\187\191"

local scan = {}

-- ---- languages ----

local function class_of(c, more)
  local char = string.char(c)
  if c >= 128 or find(char, "[%a_]") then return WORD end
  if more and find(more, char, 1, true) then return WORD end
  if find(char, "%d") then return DIGIT end
  if find(char, "[%s%c]") then return SPACE end
  return c == BACKSLASH and ESCAPE or OTHER
end

-- What the loops need: the class of each byte, the spans that may begin with
-- it, imports as lists of patterns.
local function prepare(language)
  local class, starts = {}, {}
  for c = 0, 255 do class[c] = class_of(c, language.word) end
  for _, span in ipairs(language.spans) do
    local c = byte(span.open or span.match:match "^%^%%?(.)")
    class[c] = MARK
    starts[c] = starts[c] or {}
    table.insert(starts[c], span)
  end
  for word, rule in pairs(language.imports) do
    if type(rule) == "string" then language.imports[word] = { rule } end
  end
  language.class, language.starts = class, starts
  language.separator = language.separator and byte(language.separator)
end

local by_extension = {}
for _, language in ipairs(languages) do
  if not language.class then prepare(language) end
  for extension in language.extensions:gmatch "%S+" do
    by_extension[extension] = language
  end
end

--- The language of a file by its name, or nil.
function scan.language(path)
  local extension = path:match "[^/]%.([^./]+)$"
  return extension and by_extension[extension:lower()]
end

-- ---- comments and strings ----

local function starts_with(text, i, prefix)
  return sub(text, i, i + #prefix - 1) == prefix
end

-- The two bytes before byte i. A block begins where a line does.
local function before(text, i)
  return i > 2 and sub(text, i - 2, i - 1) or "\n" .. sub(text, 1, i - 1)
end

-- If `span` begins at byte i: where its inside begins and how it will end.
local function match_span(span, text, i)
  if span.after and not find(before(text, i), span.after) then return nil end
  if span.open then
    return starts_with(text, i, span.open) and i + #span.open, span.close
  end
  local _, last, hole = find(text, span.match, i)
  if last then return last + 1, span.close and span.close:format(hole) end
end

-- Open what begins at byte i: -> where to go on, and whether it is a comment.
-- A byte that begins nothing after all is code.
local function open_span(state, text, i)
  for _, span in ipairs(state.language.starts[byte(text, i)]) do
    local inside, close = match_span(span, text, i)
    if inside then
      if span.heredoc then
        state.heredoc, state.heredoc_end = span, close
      elseif not span.token then
        state.span, state.close, state.depth = span, close, 1
      end
      return inside, span.comment
    end
  end
  return i + 1, false
end

-- A line of a here document: the last one is only its closing word.
local function pass_heredoc(state, text, i, stop)
  local line = sub(text, i, stop - 1)
  if line:match "^\t*(.*)$" == state.close then state.span = nil end
  return stop, find(line, "%S") ~= nil
end

-- Go to the end of the open span, at most to the end of the line at `stop`:
-- -> where that is, and whether there was anything but white space.
local function pass_span(state, text, i, stop)
  local span, close, seen = state.span, state.close, false
  if not close then return stop, true end
  if span.heredoc then return pass_heredoc(state, text, i, stop) end
  local class, first = state.language.class, byte(close)
  while i < stop do
    local c = byte(text, i)
    if c == first and starts_with(text, i, close) then
      i = i + #close
      state.depth = state.depth - 1
      if state.depth == 0 then
        state.span = nil
        return i, true
      end
    elseif c == BACKSLASH and span.escape then
      i, seen = i + 2, true
    elseif span.nests and starts_with(text, i, span.open) then
      state.depth = state.depth + 1
      i = i + #span.open
    else
      if class[c] ~= SPACE then seen = true end
      i = i + 1
    end
  end
  return i, seen
end

-- The line ends at `stop`, scanning did at i: beyond, if a backslash stood
-- before the end of the line. Most spans end too.
local function end_line(state, text, i, stop)
  local span = state.span
  if span and not span.lines then
    local goes_on = i > stop
    if not state.close then
      goes_on = span.escape and byte(text, stop - 1) == BACKSLASH
    end
    if not goes_on then state.span = nil end
  end
  if state.heredoc then
    state.span, state.close = state.heredoc, state.heredoc_end
    state.heredoc = nil
  end
end

-- ---- code ----

local function word_end(class, text, i)
  repeat i = i + 1 until class[byte(text, i)] > DIGIT
  return i
end

-- 12, 0x1F, 1.5e3, 1'000; but only the 1 of 1..n.
local function number_end(language, text, i)
  local class = language.class
  while true do
    i = word_end(class, text, i)
    local c, following = byte(text, i, i + 1)
    if c == DOT then
      if following == DOT then return i end
    elseif c ~= language.separator or class[following] > DIGIT then
      return i
    end
  end
end

-- Note what the word that ends before byte i imports; -> where to go on.
local function import(state, rule, text, i)
  for _, pattern in ipairs(rule) do
    local _, last, name = find(text, pattern, i)
    if last and not rule.each then
      state.imported[name] = true
      return last + 1
    elseif last then
      for each in name:gmatch(rule.each) do state.imported[each] = true end
    end
  end
  return i
end

local function pass_word(state, text, i)
  local language, identifiers = state.language, state.identifiers
  local stop = word_end(language.class, text, i)
  local word = sub(text, i, stop - 1)
  if not (language.prefixes and byte(text, stop) == QUOTE) then
    identifiers[word] = (identifiers[word] or 0) + 1
  end
  local rule = language.imports[word]
  return rule and import(state, rule, text, stop) or stop
end

-- One line, up to `stop`: -> does it have code, does it have a comment?
local function scan_line(state, text, i, stop)
  local class = state.language.class
  local code, comment = false, false
  while i < stop do
    local kind = class[byte(text, i)]
    if state.span then
      local is_comment = state.span.comment
      local past, seen = pass_span(state, text, i, stop)
      if is_comment then comment = comment or seen else code = code or seen end
      i = past
    elseif kind == SPACE then
      i = i + 1
    elseif kind == WORD then
      i, code = pass_word(state, text, i), true
    elseif kind == DIGIT then
      i, code = number_end(state.language, text, i), true
    elseif kind == MARK then
      local is_comment
      i, is_comment = open_span(state, text, i)
      if is_comment then comment = true else code = true end
    else
      i, code = i + (kind == ESCAPE and 2 or 1), true
    end
  end
  end_line(state, text, i, stop)
  return code, comment
end

-- ---- files ----

local function scan_block(state, text, i)
  local counts = state.counts
  while i <= #text do
    local newline = find(text, "\n", i, true)
    local stop = byte(text, newline - 1) == RETURN and newline - 1 or newline
    local code, comment = scan_line(state, text, i, stop)
    local kind = code and "code" or comment and "comment" or "blank"
    counts[kind] = counts[kind] + 1
    i = newline + 1
  end
end

local function last_newline(text)
  for i = #text, 1, -1 do
    if byte(text, i) == NEWLINE then return i end
  end
end

-- The next whole lines of a file; nil at its end; nil and why it cannot be
-- read. `state.rest` is the beginning of the line after them; nil until there
-- was a line.
local function read_block(file, state)
  local parts, length = { state.rest }, 0
  repeat
    local text, why = file:read(BLOCK)
    if why then return nil, why end
    if not text then break end
    if not state.rest and find(text, "\0", 1, true) then
      return nil, "binary"
    end
    local stop = last_newline(text)
    parts[#parts + 1] = stop and sub(text, 1, stop) or text
    state.rest = stop and sub(text, stop + 1) or state.rest
    length = length + #text
    if length > LONGEST then return nil, "a line is too long" end
    if stop then return table.concat(parts) end
  until false
  state.rest = ""
  local last = table.concat(parts)  -- without an end of line
  return last ~= "" and last .. "\n" or nil
end

local function scan_blocks(file, state)
  local text, why = read_block(file, state)
  local first = text and starts_with(text, 1, BYTE_ORDER_MARK) and 4 or 1
  while text do
    scan_block(state, text, first)
    first = 1
    text, why = read_block(file, state)
  end
  return not why, why
end

--- Scan a file.
-- @tparam string path
-- @tparam table identifiers how often each is used is added here
-- @treturn table blank, comment, code, lines, bytes, imported (a set); or nil
-- @treturn string why not
function scan.file(path, identifiers)
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem:sub(#path + 3) end
  local counts = { blank = 0, comment = 0, code = 0, imported = {} }
  local ok, why = scan_blocks(file, {
    language = scan.language(path), identifiers = identifiers,
    imported = counts.imported, counts = counts,
  })
  counts.lines = counts.blank + counts.comment + counts.code
  counts.bytes = file:seek "end"
  file:close()
  if not ok then return nil, why end
  return counts
end

return scan
