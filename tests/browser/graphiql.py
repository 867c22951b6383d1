"""GraphiQL as its user sees it."""

import re

from playwright.async_api import Page, expect

expect.set_options(timeout=60_000)  # ms: a loaded machine is slow, not wrong


class GraphiQL:
    """The page /graphiql."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.response = page.locator(".graphiql-response .view-lines")

    async def ready(self) -> None:
        """Wait until the editor shows an operation."""
        await expect(self.page.locator(".graphiql-query-editor .view-lines")).to_contain_text(re.compile(r"\w"))

    async def tab(self, name: str) -> None:
        """Change to a tab."""
        await self.page.get_by_role("tab", name=name, exact=True).click()
        await expect(self.page.locator(".graphiql-query-editor .view-lines")).to_contain_text(name)

    async def run(self) -> None:
        """Press the triangle."""
        await self.page.locator(".graphiql-execute-button").click()

    async def run_at_once(self, tab: str) -> None:
        """Change to a tab and press the triangle as soon as its text is shown, which GraphiQL looks at only later."""
        await self.page.evaluate(
            """name => {
                const text = () => document.querySelector('.graphiql-query-editor .view-lines').textContent;
                const run = () => document.querySelector('.graphiql-execute-button').click();
                const look = () => text().includes(name) ? run() : requestAnimationFrame(look);
                look();
            }""",
            tab,
        )
        await self.page.get_by_role("tab", name=tab, exact=True).click()

    async def keeps(self, tab: str) -> None:
        """Wait until a reload would come back to this tab: GraphiQL writes its tabs down half a second late."""
        await self.page.wait_for_function(
            """name => {
                const kept = JSON.parse(localStorage.getItem('graphiql:tabState'));
                return kept?.tabs[kept.activeTabIndex]?.title === name;
            }""",
            arg=tab,
            timeout=60_000,
        )

    async def shows(self, text: str) -> None:
        """Wait until the response holds this."""
        await expect(self.response).to_contain_text(re.compile(re.escape(text).replace(r"\ ", r"\s")))

    async def has_variables(self, text: str) -> None:
        """Wait until the variables hold this."""
        shown = self.page.locator(".graphiql-editor-tool .view-lines:visible")
        await expect(shown).to_contain_text(re.compile(re.escape(text).replace(r"\ ", r"\s")))

    async def type_headers(self, text: str) -> None:
        """Write request headers."""
        await self.page.get_by_role("button", name="Headers").click()
        await self.page.locator(".graphiql-editor-tool .monaco-editor:visible").click()
        await self.page.keyboard.insert_text(text)
