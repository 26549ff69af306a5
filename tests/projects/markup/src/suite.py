import sys

LINES = [
    "<script>alert(1)</script>",
    "</pre></code></div><h1>not a heading</h1>",
    "<img src=x onerror=alert(2)>",
    "\" onmouseover=\"alert(3)",
    "&lt;script&gt;already escaped&amp;&#60;",
    "{{log}} {{{log}}} {{#each this}}",
    # Colours: plain, bright, 256, 24 bit, nested, never reset, with text that is markup.
    "\x1b[31mred\x1b[0m \x1b[1;92mbold bright green\x1b[0m \x1b[38;5;208morange\x1b[39m \x1b[48;2;10;20;30mdeep\x1b[m",
    "\x1b[4m\x1b[33m<b>underlined yellow</b>\x1b[24m\x1b[39m",
    "\x1b[35mthis colour is never reset",
    # Parameters that no terminal knows.
    "\x1b[999999999999999999m \x1b[;;;m \x1b[38;5m \x1b[38;2;<script>m",
    # Window title, hyperlinks, clipboard.
    "\x1b]0;a window title\x07after the title",
    "\x1b]8;;javascript:alert(4)\x1b\\a link\x1b]8;;\x1b\\",
    "\x1b]8;;https://example.org/\"><script>alert(5)</script>\x07another link\x1b]8;;\x07",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    # Clear the screen, go up, erase the line; then bells, backspaces, and the 8-bit CSI.
    "\x1b[2J\x1b[1;1H\x1b[5A\x1b[2Kerased",
    "\x07bell, back\b\b\b\bspace, \x9b31mC1",
    "left \u202e to right \u202c and no width \u200b here",
]

sys.stdout.reconfigure(encoding="utf-8", newline="\n")
for line in LINES:
    print(line)
print(*(f"{percent}%" for percent in range(101)), sep="\r", end="\r\n")
# A sequence that never ends would swallow what comes after it.
print("\x1b]0;a title without an end")
print("the end of the markup")
print("\x1b[3", end="")
