//! Folders and links that come, go and are swapped.

use super::*;

#[tokio::test]
async fn a_folder_that_is_a_link_can_be_swapped() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("v1/a.star"), "1");
    put(&folder.path().join("v2/a.star"), "2");
    symlink("v1", folder.path().join("p")).unwrap();
    let mut world = World::follow(folder, quick(), "p");
    world
        .check(
            3,
            &expect![[r#"
        policies [p/a.star] gone []
        config Init
        config InitDone
    "#]],
        )
        .await;
    link("v2", &world.path("p"));
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star] gone []
    "#]],
        )
        .await;
    world.put("v2/a.star", "3");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star] gone []
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_folder_deleted_and_made_again_is_followed_again() {
    let mut world = World::new(&["p/a.star", "s/a/1.json"]).await;
    world.remove_folder("p");
    world.check(2, &expect![[r#"
        unread [p]
        problem p: p does not exist: put policies (*.star, *.rb) there, or name another place with --policies (KONTENA_REGISTRATOR_POLICIES); what was loaded before keeps running
    "#]]).await;
    world.put("new/a.star", "new");
    fs::rename(world.path("new"), world.path("p")).unwrap();
    world
        .check(
            2,
            &expect![[r#"
                policies [p/a.star] gone []
                unread []
            "#]],
        )
        .await;
    world.put("p/a.star", "newer");
    world
        .check(
            1,
            &expect![[r#"
        policies [p/a.star] gone []
    "#]],
        )
        .await;
    world.remove_folder("s");
    world.check(2, &expect![[r#"
        unread [s]
        problem s: the folder of the configurations is gone; those that were read before keep running
    "#]]).await;
    world.put("new/b.json", "new");
    fs::rename(world.path("new"), world.path("s")).unwrap();
    world
        .check(
            3,
            &expect![[r#"
                config Apply s/b.json "new"
                config Delete s/a/1.json
                unread []
            "#]],
        )
        .await;
    world.check_nothing().await;
}

#[tokio::test]
async fn links_swapped_as_kubernetes_does_are_noticed() {
    let mut world = World::new(&["s/..v1/a.json", "s/..v2/a.json"]).await;
    symlink("..v1", world.path("s/..data")).unwrap();
    symlink("..data/a.json", world.path("s/a.json")).unwrap();
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a.json "s/..v1/a.json"
    "#]],
        )
        .await;
    link("..v2", &world.path("s/..data"));
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a.json "s/..v2/a.json"
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_folder_made_anew_at_once_is_followed() {
    let mut world = World::new(&["p/a.star", "s/a/1.json"]).await;
    fs::remove_dir_all(world.path("s/a")).unwrap();
    world.put("s/a/1.json", "new");
    world.until(r#"config Apply s/a/1.json "new""#).await;
    world.put("s/a/1.json", "newer");
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a/1.json "newer"
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_folder_linked_anew_at_once_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("v1/1.json"), "1");
    put(&folder.path().join("p/a.star"), "1");
    fs::create_dir(folder.path().join("s")).unwrap();
    symlink("../v1", folder.path().join("s/a")).unwrap();
    let mut world = World::follow(folder, quick(), "p");
    world.until("config InitDone").await;
    fs::remove_file(world.path("s/a")).unwrap();
    symlink("../v1", world.path("s/a")).unwrap();
    world.put("s/marker.json", "1");
    world.until(r#"config Apply s/marker.json "1""#).await;
    world.put("v1/1.json", "2");
    world.until(r#"config Apply s/a/1.json "2""#).await;
}

#[tokio::test]
async fn a_folder_with_two_paths_is_followed_while_one_is_left() {
    let mut world = World::new(&["s/a/1.json"]).await;
    symlink("a", world.path("s/b")).unwrap();
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/b/1.json "s/a/1.json"
    "#]],
        )
        .await;
    fs::remove_file(world.path("s/b")).unwrap();
    world
        .check(
            1,
            &expect![[r#"
        config Delete s/b/1.json
    "#]],
        )
        .await;
    world.put("s/a/1.json", "new");
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a/1.json "new"
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_folder_that_is_missing_at_first_is_followed_when_it_comes() {
    let mut world = World::new(&["p/a.star"]).await;
    world.put("s/a/1.json", "1");
    world.until(r#"config Apply s/a/1.json "1""#).await;
    world.put("s/a/1.json", "2");
    world
        .check(
            1,
            &expect![[r#"
        config Apply s/a/1.json "2"
    "#]],
        )
        .await;
}
