-- How each language writes comments, strings and imports.
--
--   extensions  endings of file names, in lower case
--   spans       stretches that are not plain code; the first that fits wins
--     open      how one begins; or `match`, a pattern whose capture replaces
--               the %s in `close`
--     close     how it ends; none: with the line
--     comment   it is a comment and not a string
--     escape    a backslash protects the byte behind it
--     lines     it goes on over the ends of lines
--     nests     another one may begin inside
--     after     pattern for the two bytes before it ("\n" begins a line)
--     token     `match` is all of it
--     heredoc   it begins on the next line and ends with a line like `close`
--   imports     word -> pattern for the name behind it, or two: one for a
--               stretch of text, and `each` for the names inside
--   keywords    words that are no identifiers
--   word        more bytes that identifiers may contain
--   separator   byte that may stand between two digits
--   prefixes    a word right before a double quote belongs to the string

local function line(open)
  return { open = open, comment = true }
end

local function block(open, close, nests)
  return { open = open, close = close, comment = true, lines = true,
           nests = nests }
end

local function string(quote)
  return { open = quote, close = quote, escape = true }
end

local function text(quote, escape)
  return { open = quote, close = quote, escape = escape, lines = true }
end

local slashes, stars = line "//", block("/*", "*/")
local double, single = string '"', string "'"

local languages = {}

local function add(name, extensions, rules)
  local language = { name = name, extensions = extensions }
  for field, value in pairs(rules) do language[field] = value end
  languages[#languages + 1] = language
end

-- ---- C and C++ ----

local c_comment = { open = "//", comment = true, escape = true }
local c_imports = { include = '^[ \t]*["<]([^">\n]+)[">]' }
local c_keywords = [[
  define defined elif endif ifdef ifndef include pragma undef
  auto break case char const continue default do double else enum extern float
  for goto if inline int long register restrict return short signed sizeof
  static struct switch typedef union unsigned void volatile while ]]

add("C", "c", {
  spans = { c_comment, stars, double, single },
  imports = c_imports, keywords = c_keywords,
  separator = "'", prefixes = true,
})

local cpp = {
  spans = {
    c_comment, stars,
    { match = '^"([^()\\%s]*)%(', close = ')%s"', after = "R$", lines = true },
    double, single,
  },
  imports = c_imports,
  separator = "'", prefixes = true,
  keywords = c_keywords .. [[
    alignas alignof bool catch char16_t char32_t char8_t class co_await
    co_return co_yield concept const_cast consteval constexpr constinit
    decltype delete dynamic_cast explicit export false final friend mutable
    namespace new noexcept nullptr operator override private protected public
    reinterpret_cast requires static_assert static_cast template this
    thread_local throw true try typeid typename using virtual wchar_t ]],
}

add("C++", "cc cpp cxx c++ inl ipp tcc tpp", cpp)
add("C/C++ header", "h h++ hh hpp hxx", cpp)

-- ---- curly brackets ----

add("Go", "go", {
  spans = { slashes, stars, double, single, text("`", false) },
  imports = {
    import = { '^[ \t]*(%b())', '^[ \t]*[%w_.]*[ \t]*("[^"\n]+")',
               each = '"([^"\n]+)"' },
  },
  keywords = [[
    break case chan const continue default defer else fallthrough false for
    func go goto if import interface map nil package range return select struct
    switch true type var ]],
})

add("Java", "java", {
  spans = { slashes, stars, text('"""', true), double, single },
  imports = { import = "^%s+([%w_.]+[%w_*])" },
  keywords = [[
    abstract assert boolean break byte case catch char class const continue
    default do double else enum extends false final finally float for goto if
    implements import instanceof int interface long native new null package
    private protected public return short static strictfp super switch
    synchronized this throw throws transient true try var void volatile while
    ]],
})

local quoted = "^%s*%(?%s*[\"']([^\"'\n]+)[\"']"
local javascript = {
  spans = {
    line "#!", slashes, stars, double, single, text("`", true),
    { open = "/", close = "/", escape = true,
      after = "[=(,:!&|?{};%[\n] ?$" },
  },
  imports = { import = quoted, from = quoted, require = quoted },
  word = "$",
  keywords = [[
    async await break case catch class const continue debugger default delete
    do else export extends false finally for from function if import in
    instanceof let new null of return static super switch this throw true try
    typeof undefined var void while with yield ]],
}

add("JavaScript", "js cjs jsx mjs", javascript)
add("TypeScript", "ts cts mts tsx", {
  spans = javascript.spans, imports = javascript.imports, word = "$",
  keywords = javascript.keywords .. [[
    abstract any as boolean declare enum implements interface is keyof
    namespace never number private protected public readonly string type
    unknown ]],
})

add("Rust", "rs", {
  spans = {
    slashes, block("/*", "*/", true),
    { match = '^#(#*)"', close = '"#%s', after = "r$", lines = true },
    { open = '"', close = '"', after = "r$", lines = true },
    text('"', true),
    { match = "^'[^'\\\n][\128-\191]*'", token = true },  -- no lifetime
    { match = "^'\\.", close = "'" },
  },
  imports = { use = "^%s+([%w_:]*[%w_])" },
  prefixes = true,
  keywords = [[
    as async await break const continue crate dyn else enum extern false fn for
    if impl in let loop match mod move mut pub ref return self Self static
    struct super trait true type unsafe use where while ]],
})

-- ---- scripts ----

add("Lua", "lua", {
  spans = {
    line "#!",
    { match = "^%-%-%[(=*)%[", close = "]%s]", comment = true, lines = true },
    line "--",
    { match = "^%[(=*)%[", close = "]%s]", lines = true },
    double, single,
  },
  imports = { require = quoted },
  keywords = [[
    and break do else elseif end false for function goto if in local nil not or
    repeat return then true until while ]],
})

add("Python", "py pyi pyw", {
  spans = {
    line "#", text('"""', true), text("'''", true), double, single,
  },
  imports = {
    import = "^[ \t]+([%w_.]+)",
    from = "^[ \t]+([%w_.]+)[ \t]+import%f[^%w_]",
  },
  prefixes = true,
  keywords = [[
    False None True and as assert async await break class continue def del elif
    else except finally for from global if import in is lambda nonlocal not or
    pass raise return try while with yield ]],
})

add("Shell", "sh bash ksh zsh", {
  spans = {
    { open = "#", comment = true, after = "[%s;&|()]$" },
    { match = "^<<%-?[ \t]*\\?(%u[%w_]*)", close = "%s", after = "[^<]$",
      heredoc = true, lines = true },
    { match = "^<<%-?[ \t]*[\"']([%w_]+)[\"']", close = "%s", after = "[^<]$",
      heredoc = true, lines = true },
    { open = "'", close = "'", after = "%$$", escape = true, lines = true },
    text("'", false), text('"', true),
  },
  imports = { source = "^[ \t]+[\"']?([^%s;\"']+)" },
  keywords = [[
    case do done elif else esac fi for function if in local return then until
    while ]],
})

return languages
