//! Answers that want to act: drawn in the real window, they run nothing, ask nothing and lead nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_adapters::store::Store;
use tandem_domain::chat::{Message, Role};

use crate::desk::Desk;
use crate::hands::{Hands, screen};

/// HTML and SVG that acts by itself; `SINK` is an address at which somebody listens.
const MARKUP: &[&str] = &[
    "<script>window.hit = 1</script>",
    "<script src='http://SINK/a.js'></script>",
    "<img src=x onerror='window.hit = 1'>",
    "<img src='http://SINK/pixel.png'>",
    "<img srcset='http://SINK/pixel.png 2x'>",
    "<svg onload='window.hit = 1'><circle r=1 /></svg>",
    "<svg><script>window.hit = 1</script></svg>",
    "<svg><use href='http://SINK/a.svg#b' /></svg>",
    "<svg><image href='http://SINK/a.png' /></svg>",
    "<svg><foreignObject><iframe src='http://SINK/'></iframe></foreignObject></svg>",
    "<iframe src='http://SINK/'></iframe>",
    "<iframe srcdoc='<script>parent.hit = 1</script>'></iframe>",
    "<object data='http://SINK/'></object>",
    "<embed src='http://SINK/'>",
    "<link rel=stylesheet href='http://SINK/a.css'>",
    "<link rel=prefetch href='http://SINK/a'>",
    "<link rel=dns-prefetch href='//SINK'>",
    "<style>@import 'http://SINK/a.css'; body { display: none }</style>",
    "<div style='background: url(http://SINK/a.png)'>a</div>",
    "<meta http-equiv=refresh content='0; url=http://SINK/'>",
    "<base href='http://SINK/'>",
    "<form action='http://SINK/'><input autofocus onfocus='window.hit = 1'></form>",
    "<form id=f action='http://SINK/'></form><button form=f>go</button>",
    "<video src='http://SINK/a.mp4' autoplay onerror='window.hit = 1'></video>",
    "<audio src='http://SINK/a.mp3' autoplay></audio>",
    "<details open ontoggle='window.hit = 1'><summary>a</summary></details>",
    "<marquee onstart='window.hit = 1'>a</marquee>",
    "<body onload='window.hit = 1'>",
    "<a href='http://SINK/' ping='http://SINK/ping'>a</a>",
    "<math><mtext><table><mglyph><style><!--</style><img src=x onerror='window.hit = 1'>--></table></mtext></math>",
    "<template><script>window.hit = 1</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=window.hit=1>'></p></noscript>",
    "<!--><img src=x onerror='window.hit = 1'>-->",
    "<![CDATA[<img src=x onerror='window.hit = 1'>]]>",
    "<x-a onclick='window.hit = 1' style='position:fixed;inset:0'>a</x-a>",
    "<portal src='http://SINK/'></portal>",
    "<dialog open><button autofocus onfocus='window.hit = 1'>a</button></dialog>",
    "<input type=image src='http://SINK/a.png'>",
    "<textarea autofocus onfocus='window.hit = 1'></textarea>",
    "<select autofocus onfocus='window.hit = 1'><option>a</select>",
];

/// Addresses that act where they are followed or loaded.
const ADDRESSES: &[&str] = &[
    "javascript:window.hit=1",
    "JaVaScRiPt:window.hit=1",
    "java\tscript:window.hit=1",
    "&#106;avascript:window.hit=1",
    "javascript&colon;window.hit=1",
    "data:text/html,<script>window.hit=1</script>",
    "data:image/svg+xml,<svg onload='window.hit=1'/>",
    "vbscript:window.hit=1",
    "file:///etc/passwd",
    "tauri://localhost/other.html",
    "ipc://localhost/overview",
    "asset://localhost/etc/passwd",
    "http://SINK/a",
    "//SINK/a",
    "blob:null/a",
    "about:blank",
];

/// Text that some programs give a meaning.
const WORDS: &[&str] = &[
    "$\\href{javascript:window.hit=1}{a}$",
    "$$\\includegraphics{http://SINK/a.png}$$",
    "$\\htmlData{onclick=window.hit=1}{a}$",
    "```mermaid\ngraph LR; A-->B; click A href \"http://SINK/\"\n```",
    "```html\n<script>window.hit = 1</script>\n```",
    "```__proto__\nx\n```",
    "```constructor\nx\n```",
    "```\n<img src='http://SINK/a.png'>",
    "[a]: http://SINK/a 'b'\n[a]\n![a]",
    "<http://SINK/a>",
    "http://SINK/a",
    "www.SINK/a",
    "![a][b]\n\n[b]: http://SINK/a.png",
    "| a | b |\n|:-|-:|\n| <img src=x onerror='window.hit = 1'> | ![](http://SINK/a) |",
    "[^1]\n\n[^1]: <script>window.hit = 1</script>",
    "{{constructor.constructor('window.hit=1')()}}",
    "${window.hit=1}",
    "@import url(http://SINK/a.css);",
];

/// Links whose words name another place than they have.
const SPOOFS: &[&str] = &[
    "[example.org](http://example.org.evil.test/)",
    "[https://example.org](https://evil.test/https://example.org)",
    "[example.org](https://example.org@evil.test/)",
    "[evil.test is not where this leads, example.org is](https://sub.evil.test/)",
    "[https://evil.test.example.org](https://evil.test/)",
];

fn corpus(sink: &str) -> Vec<String> {
    let markup = MARKUP.iter().map(|m| (*m).to_owned());
    let inline = MARKUP.iter().map(|m| format!("Words, {m} and more."));
    let links = ADDRESSES
        .iter()
        .flat_map(|a| [format!("[a]({a})"), format!("![a]({a})")]);
    let words = WORDS.iter().chain(SPOOFS).map(|w| (*w).to_owned());
    let all = markup.chain(inline).chain(links).chain(words);
    all.map(|text| text.replace("SINK", sink)).collect()
}

/// What of the transcript could act; everything in it is drawn by the window itself.
const FOUND: &str = r#"
    const log = document.querySelector('[role=log]');
    const found = [];
    // What sets a formula: lengths and colours of elements that stand where the text stands.
    const sets = (element) => element.closest('.katex') && [...element.style].every((name) =>
        /^(height|width|min-width|top|left|vertical-align|color|background-color|position|(margin|padding|border)-[a-z-]+)$/.test(name)
        && /^(-?[\d.]+(em|px|%)?|rgb\([\d, ]+\)|relative|solid|none|initial)$/.test(element.style.getPropertyValue(name)));
    for (const element of log.querySelectorAll('*')) {
        const name = element.localName;
        if (/^(script|iframe|object|embed|link|style|meta|base|form|video|audio|portal|template|marquee|foreignobject|use|image)$/.test(name)) found.push(name);
        for (const { name: attribute, value } of element.attributes) {
            if (/^on|^srcdoc$|^ping$|^action$|^srcset$|^data$/.test(attribute)) found.push(`${name} ${attribute}`);
            if (/^(href|src|xlink:href)$/.test(attribute) && !value.startsWith('#')) found.push(`${name} ${attribute}=${value}`);
            if (attribute === 'style' && !sets(element) && !/^text-align: ?(left|right|center|start|end);?$/.test(value)) found.push(`${name} style=${value}`);
        }
    }
    return [found, window.hit ?? null, location.href, log.querySelectorAll('article').length];
"#;

/// How long the pages of the conversation may take.
const ALL_READ: Duration = Duration::from_secs(60);
/// Asks for the page before the first answer, and counts the answers.
const EARLIER: &str = r#"
    document.querySelector('[role=log] .earlier button')?.click();
    return document.querySelectorAll('[role=log] article').length;
"#;

/// The whole corpus in one conversation.
pub(crate) async fn answers(desk: &mut Desk) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let sink = listener.local_addr().expect("it is bound").to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let texts = corpus(&sink);
    let count = texts.len();
    keep(desk, texts).await;

    let mut hands = Hands::open(desk).await;
    let before = hands.run("return location.href").await;
    hands.click(&screen("Chat")).await;
    hands
        .click("//nav[@aria-label='Conversations']//button[.//span[.='Answers']]")
        .await;
    let all = format!("//*[@role='log'][count(.//article)={count}]");
    // It opens with the last ones; the earlier ones are read page by page.
    let start = Instant::now();
    while hands.run(EARLIER).await != json!(count) {
        assert!(start.elapsed() < ALL_READ, "not all answers were read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    hands.see(&all).await;
    hands.desk.picture("corpus").await;
    let seen = hands.run(FOUND).await;
    assert_eq!(seen[0], json!([]), "nothing in it could act");
    assert_eq!(seen[1], Value::Null, "nothing ran");
    assert_eq!(seen[2], before, "the window is where it was");
    let hosts = hands
        .run("return [...document.querySelectorAll('[role=log] .where')].map((e) => e.textContent)")
        .await;
    let hosts: Vec<&str> = hosts
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|host| host.ends_with("evil.test"))
        .collect();
    assert_eq!(
        hosts.len(),
        SPOOFS.len(),
        "each shows where it leads: {hosts:?}"
    );
    // A page that had asked for something would have done so before it was drawn and asked again.
    hands.run("return document.readyState").await;
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "nobody was asked for anything"
    );
    // Nor does the window go where a script of its own sends it.
    hands
        .run(&format!("location.href = 'http://{sink}/'; return null"))
        .await;
    hands.see(&all).await;
    assert_eq!(hands.run("return location.href").await, before);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "it was not even asked for");
}

/// A conversation of these answers, kept before the first start.
async fn keep(desk: &Desk, texts: Vec<String>) {
    let store = Store::open(desk.database())
        .await
        .expect("the database is made");
    let id = "hostile".into();
    store
        .create_conversation(&id, "Answers", 1)
        .await
        .expect("a conversation");
    for (n, text) in texts.into_iter().enumerate() {
        let message = Message::new(format!("m{n}"), Role::Assistant, text, 1);
        store
            .append_message(&id, &message)
            .await
            .expect("an answer");
    }
    store.close().await;
}
