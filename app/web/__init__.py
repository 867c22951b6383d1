"""The pages for browsers: GraphiQL and signing in, as they were built from `web/` into `static/`."""

from app.web.pages import is_built as is_built
from app.web.pages import routes as routes
from app.web.pages import warn_when_not_built as warn_when_not_built
