/** Hand a file that was made here to the user. */

/**
 * @param {string} name of the file
 * @param {string | Uint8Array} content
 * @param {string} type as text some phones would add `.txt` to the name
 */
export function download(name, content, type = "application/octet-stream") {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
