// What is dropped anywhere but on a place that takes it would be opened in the window's stead.

/** Refuses every drop on the page that no part of it has taken; text still goes into fields. */
export function keepDropsOut(page: Document): void {
  const refuse = (event: DragEvent): void => {
    if (event.defaultPrevented) return;
    const types = event.dataTransfer?.types ?? [];
    const opens = types.includes('Files') || types.includes('text/uri-list');
    const field = event.target instanceof Element && event.target.closest('input, textarea');
    if (field && !opens) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = 'none';
  };
  page.addEventListener('dragover', refuse);
  page.addEventListener('drop', refuse);
}
