"""Console: what a studio's people look at in a browser, apart from the data path.

Owns: who may see what, which address shows it, the pages as HTML, and the same as JSON.
Does not own: where anything comes from (a ``Source`` does), sockets, any amount; documents are
shown as they were issued.

Invariants: nothing is changed by looking; a customer sees nothing of another's, nor what earners
get; a page has no script, and fetches nothing from elsewhere.
"""
