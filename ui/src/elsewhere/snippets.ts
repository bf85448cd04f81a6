// What other programs are told to use the server: commands and files, ready to be copied.

/** What a snippet is made of. */
export type Target = {
  /** The address on this computer, without a path: `http://127.0.0.1:8000`. */
  address: string;
  model: string;
  /** The key, or a word in its place while it is not shown. */
  key: string;
  /** Whether the engine answers Anthropic's API of messages too. */
  messages: boolean;
};

export type Snippet = {
  id: string;
  title: string;
  /** Where it belongs. */
  says: string;
  text: string;
};

/** What stands in the place of the key while it is not shown. */
export const KEY = 'YOUR-KEY';

/** The address on this computer of a port. */
export function addressOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/** A word as a shell takes it, whatever is in it. */
function shell(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Every snippet, the plainest first. */
export function snippets({ address, model, key, messages }: Target): Snippet[] {
  const base = `${address}/v1`;
  const text = (value: unknown) => JSON.stringify(value);
  const question = { model, messages: [{ role: 'user', content: 'Hello' }] };
  const opencode = {
    $schema: 'https://opencode.ai/config.json',
    provider: {
      tandem: {
        npm: '@ai-sdk/openai-compatible',
        name: 'Tandem',
        options: { baseURL: base, apiKey: key },
        models: { [model]: { name: model } },
      },
    },
  };
  const all: Snippet[] = [
    {
      id: 'curl',
      title: 'curl',
      says: 'In a terminal of this computer.',
      text: [
        `curl ${shell(`${base}/chat/completions`)} \\`,
        `  -H ${shell(`Authorization: Bearer ${key}`)} \\`,
        `  -H 'Content-Type: application/json' \\`,
        `  -d ${shell(text(question))}`,
      ].join('\n'),
    },
    {
      id: 'openai',
      title: 'OpenAI SDK',
      says: 'Python, with the package openai.',
      text: [
        'from openai import OpenAI',
        '',
        `client = OpenAI(base_url=${text(base)}, api_key=${text(key)})`,
        'answer = client.chat.completions.create(',
        `    model=${text(model)},`,
        '    messages=[{"role": "user", "content": "Hello"}],',
        ')',
        'print(answer.choices[0].message.content)',
      ].join('\n'),
    },
    {
      id: 'open-webui',
      title: 'Open WebUI',
      says: 'In a terminal of this computer with Docker; it answers at http://localhost:8080.',
      text: [
        'docker run -d --name open-webui --network host \\',
        `  -e OPENAI_API_BASE_URL=${shell(base)} \\`,
        `  -e OPENAI_API_KEY=${shell(key)} \\`,
        '  -v open-webui:/app/backend/data \\',
        '  ghcr.io/open-webui/open-webui:main',
      ].join('\n'),
    },
    {
      id: 'opencode',
      title: 'OpenCode',
      says: 'In opencode.json of a project, or in ~/.config/opencode/opencode.json.',
      text: JSON.stringify(opencode, null, 2),
    },
    {
      id: 'continue',
      title: 'Continue',
      says: 'In ~/.continue/config.yaml.',
      text: [
        'name: Tandem',
        'version: 0.0.1',
        'schema: v1',
        'models:',
        `  - name: ${text(model)}`,
        '    provider: openai',
        `    model: ${text(model)}`,
        `    apiBase: ${text(base)}`,
        `    apiKey: ${text(key)}`,
      ].join('\n'),
    },
  ];
  if (messages)
    all.push({
      id: 'claude',
      title: 'Claude Code',
      says: 'In a terminal of this computer; the engine answers Anthropic’s API of messages.',
      text: [
        `ANTHROPIC_BASE_URL=${shell(address)} \\`,
        `ANTHROPIC_AUTH_TOKEN=${shell(key)} \\`,
        `ANTHROPIC_MODEL=${shell(model)} \\`,
        'claude',
      ].join('\n'),
    });
  return all;
}
