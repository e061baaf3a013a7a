//! What a model says that is meant to do harm.

use anyhow::Result;
use serde_json::json;
use testkit::model::{FakeModel, Script};

use super::stage;

#[tokio::test]
async fn hostile_model_output_is_inert_text() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    let nasty = "<img src=x onerror=window.hurt=1> <script>window.hurt=2</script> \
                 [a](javascript:window.hurt=3) ![b](http://127.0.0.1:9/secret) end";
    let script = Script { text: Some(nasty.into()), ..Script::default() };
    page.ask(&script.question()).await?;
    page.says(0, "end").await?;
    page.is_idle().await?;
    let found = page
        .get("[window.hurt ?? 0, document.querySelectorAll('#conversation :is(img, script, iframe)').length, \
              [...document.querySelectorAll('#conversation a')].filter(it => it.protocol === 'javascript:').length]")
        .await?;
    assert_eq!(found, json!([0, 0, 0]));
    page.close().await
}
